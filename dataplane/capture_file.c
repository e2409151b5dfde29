// SPDX-License-Identifier: MIT
#include "dataplane/capture_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "numa/clock.h"

#define FILE_HEADER_BYTES   24u
#define PACKET_HEADER_BYTES 16u
#define BUFFER_BYTES        (1u << 20)
#define SECOND_NS           1000000000ull

// The `count`th file: NAME-00001.pcap, whether NAME or NAME.pcap was given.
static void name_file(struct capture_file *file)
{
    const char *name = file->options->write;
    size_t length = strlen(name);
    if (length > 5 && strcmp(name + length - 5, ".pcap") == 0)
        length -= 5;
    snprintf(file->path, sizeof(file->path), "%.*s-%05llu.pcap", (int)length, name,
             (unsigned long long)file->count);
}

static FILE *open_stream(struct capture_file *file)
{
    if (strcmp(file->options->write, "-") == 0) {
        snprintf(file->path, sizeof(file->path), "standard output");
        return stdout;
    }
    if (file->options->rotate)
        name_file(file);
    else
        snprintf(file->path, sizeof(file->path), "%s", file->options->write);
    int fd = open(file->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");
    if (fd >= 0 && !stream)
        close(fd);
    return stream;
}

static int begin_file(struct capture_file *file, struct error *error)
{
    file->count++;
    FILE *stream = open_stream(file);
    if (!stream)
        return error_set(error, "cannot write %s: %s", file->path, strerror(errno));
    setvbuf(stream, NULL, _IOFBF, BUFFER_BYTES);
    file->dumper = pcap_dump_fopen(file->format, stream);
    if (!file->dumper)
        return error_set(error, "cannot write %s: %s", file->path, pcap_geterr(file->format));
    file->bytes = FILE_HEADER_BYTES;
    file->opened_ns = clock_raw_ns();
    return capture_file_flush(file, error);
}

int capture_file_open(struct capture_file *file, const struct capture_options *options,
                      int link_type, struct error *error)
{
    memset(file, 0, sizeof(*file));
    file->options = options;
    if (strcmp(options->write, "-") == 0 && isatty(STDOUT_FILENO))
        return error_set(error, "--write - is for a pipe: add `| tshark -i -`, or name a file");
    file->format = pcap_open_dead_with_tstamp_precision(link_type, CAPTURE_PACKET_MAX,
                                                        PCAP_TSTAMP_PRECISION_NANO);
    return file->format ? begin_file(file, error) : error_set(error, "no memory");
}

// pcap_dump does not tell of its failures, but the stream remembers them.
static int check_stream(struct capture_file *file, int why, struct error *error)
{
    if (!ferror(pcap_dump_file(file->dumper)))
        return 0;
    file->pipe_closed = why == EPIPE;
    return file->pipe_closed
               ? 0
               : error_set(error, "cannot write %s: %s", file->path, strerror(why ? why : EIO));
}

int capture_file_flush(struct capture_file *file, struct error *error)
{
    if (file->pipe_closed)
        return 0;
    errno = 0;
    fflush(pcap_dump_file(file->dumper));
    return check_stream(file, errno, error);
}

static bool full(const struct capture_file *file, uint32_t size)
{
    const struct capture_options *options = file->options;
    bool large = options->rotate_bytes > 0 && file->bytes > FILE_HEADER_BYTES &&
                 file->bytes + PACKET_HEADER_BYTES + size > options->rotate_bytes;
    return large ||
           (options->rotate_ns > 0 && clock_raw_ns() - file->opened_ns >= options->rotate_ns);
}

static int end_file(struct capture_file *file, struct error *error)
{
    int result = capture_file_flush(file, error);
    pcap_dump_close(file->dumper);
    file->dumper = NULL;
    return result;
}

int capture_file_put(struct capture_file *file, uint64_t time_ns, const uint8_t *bytes,
                     uint32_t size, uint32_t length, struct error *error)
{
    if (file->pipe_closed)
        return 0;
    if (file->options->rotate && full(file, size) &&
        (end_file(file, error) || begin_file(file, error)))
        return -1;
    struct pcap_pkthdr header = {.ts = {.tv_sec = (time_t)(time_ns / SECOND_NS),
                                        .tv_usec = (suseconds_t)(time_ns % SECOND_NS)},
                                 .caplen = size,
                                 .len = length};
    errno = 0;
    pcap_dump((u_char *)file->dumper, &header, bytes);
    file->bytes += PACKET_HEADER_BYTES + size;
    return check_stream(file, errno, error);
}

int capture_file_close(struct capture_file *file, struct error *error)
{
    int result = file->dumper ? end_file(file, error) : 0;
    if (file->format)
        pcap_close(file->format);
    file->format = NULL;
    return result;
}
