// SPDX-License-Identifier: MIT
#include "dataplane/load_stages.h"

#include <arpa/inet.h>

#include "dataplane/config.h"
#include "dataplane/control.h"

static const struct config_shard *shard_at(const struct config *config,
                                           const struct sockaddr_in *to)
{
    for (uint32_t i = 0; i < config->shard_count; i++) {
        const struct config_shard *shard = &config->shards[i];
        if (htons(shard->udp_port) == to->sin_port &&
            config->ports[shard->port].address == to->sin_addr.s_addr)
            return shard;
    }
    return NULL;
}

// By name, as the gateway tells them, to a list.
static json_t *list_stages(json_t *stages)
{
    json_t *list = json_array();
    const char *name;
    json_t *times;
    json_object_foreach(stages, name, times)
    {
        json_t *stage = json_pack("{s:s}", "name", name);
        json_object_update(stage, times);
        json_array_append_new(list, stage);
    }
    return list;
}

static json_t *ask(const struct config *config, uint32_t port, struct error *error)
{
    json_t *request = json_pack("{s:s}", "do", "stats"), *answer = NULL, *stages = NULL;
    const char *refusal = "it has no stages";
    if (control_ask(config->control.socket, request, &answer, error) == 0) {
        json_t *ports = json_object_get(json_object_get(answer, "stats"), "ports");
        stages = json_object_get(json_array_get(ports, port), "stages_ns");
        json_unpack(answer, "{s:s}", "error", &refusal);
        if (stages)
            stages = list_stages(stages);
        else
            error_set(error, "load: the gateway at %s: %s", config->control.socket, refusal);
    }
    json_decref(request);
    json_decref(answer);
    return stages;
}

json_t *load_stages_ask(const char *path, const struct sockaddr_in *to, struct error *error)
{
    struct config *config = config_load(path, error);
    json_t *stages = NULL;
    if (!config)
        return NULL;
    const struct config_shard *shard = shard_at(config, to);
    if (!shard)
        error_set(error, "load: --config %s: no shard takes orders at the address of --to", path);
    else if (!config->control.socket[0])
        error_set(error, "load: %s has no control socket: control = { socket = \"…\"; };", path);
    else
        stages = ask(config, shard->port, error);
    config_free(config);
    return stages;
}
