// SPDX-License-Identifier: MIT
#include "dataplane/recording.h"

pcap_t *recording_open(const char *path, struct error *error)
{
    char why[PCAP_ERRBUF_SIZE];
    pcap_t *recording =
        pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, why);
    if (!recording) {
        error_set(error, "not a pcap file: %s", why);
        return NULL;
    }
    if (pcap_datalink(recording) == DLT_EN10MB)
        return recording;
    error_set(error, "not captured on Ethernet");
    pcap_close(recording);
    return NULL;
}

int recording_next(pcap_t *recording, struct recorded_packet *packet, struct error *error)
{
    struct pcap_pkthdr *header;
    const uint8_t *data;
    int found = pcap_next_ex(recording, &header, &data);
    if (found == PCAP_ERROR_BREAK)
        return 0;
    if (found != 1)
        return error_set(error, "damaged pcap file: %s", pcap_geterr(recording));
    *packet = (struct recorded_packet){
        .data = data,
        .size = header->caplen,
        .time_ns = (uint64_t)header->ts.tv_sec * 1000000000ull + (uint64_t)header->ts.tv_usec,
        .whole = header->caplen == header->len,
    };
    return 1;
}
