/*
 * link.c - a switch in user space for tests: one TAP device a port, each with a rate, a delay, a share of lost
 * frames, and a cable that can be pulled.
 *
 * usage: link PREFIX PORTS RATE_MBIT DELAY_US LOSS_PPM
 *
 * Makes the devices PREFIX0, PREFIX1, ... in its network namespace (the caller moves them to the hosts), prints
 * "ready", then obeys lines on standard input and answers each with "ok N", N frames lost by chance so far:
 *   rate PORT MBIT | delay PORT US | loss PORT PPM | cut PORT SECONDS (0: for good) | mend PORT
 * It ends at the end of standard input.
 *
 * A frame waits in two queues: for the sending port's cable, which it occupies for its length over the rate, then
 * for the receiving port's cable and delay. A full queue drops. Loss and delay are the receiving port's.
 */
#define _GNU_SOURCE /* ppoll */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_PORTS = 16,
    QUEUE = 1024,
    FRAME_BYTES = 2048,
    MAC_BYTES = 6,
    BURST = 64,
    WIRE_OVERHEAD = 24, /* preamble, checksum and gap of Ethernet */
    NS_PER_US = 1000
};
static const int64_t NS_PER_S = 1000000000;
static const int64_t FOR_GOOD = INT64_MAX;

typedef struct frame {
    int64_t due_ns;
    size_t bytes;
    unsigned char *data; /* owned */
} frame;

typedef struct queue {
    frame frames[QUEUE];
    unsigned head;
    unsigned tail;
    int64_t cable_free_ns;
} queue;

typedef struct port {
    int device;
    bool has_mac;
    unsigned char mac[MAC_BYTES];
    double bytes_per_ns;
    int64_t delay_ns;
    uint32_t loss_ppm;
    int64_t cut_until_ns;
    queue up;
    queue down;
} port;

typedef struct network {
    int n_ports;
    port *ports;
    uint64_t random;
    uint64_t n_lost;
} network;

static int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static bool is_lost(network *net, uint32_t loss_ppm)
{
    net->random ^= net->random << 13;
    net->random ^= net->random >> 7;
    net->random ^= net->random << 17;
    bool lost = (net->random >> 16) % 1000000u < loss_ppm;
    net->n_lost += lost;
    return lost;
}

static void push(queue *q, const unsigned char *data, size_t bytes, int64_t from_ns,
                 const port *cable, int64_t delay_ns)
{
    unsigned char *copy = q->tail - q->head < QUEUE ? malloc(bytes) : NULL;
    if (copy == NULL) {
        return; /* dropped, as by a full buffer */
    }
    memcpy(copy, data, bytes);
    int64_t start = q->cable_free_ns > from_ns ? q->cable_free_ns : from_ns;
    q->cable_free_ns =
        start + (int64_t)((double)(bytes + WIRE_OVERHEAD) / cable->bytes_per_ns);
    q->frames[q->tail++ % QUEUE] =
        (frame){.due_ns = q->cable_free_ns + delay_ns, .bytes = bytes, .data = copy};
}

/* The oldest frame if its time has come; *next_ns is brought down to its time otherwise. */
static frame *pop_due(queue *q, int64_t now, int64_t *next_ns)
{
    if (q->head == q->tail) {
        return NULL;
    }
    frame *first = &q->frames[q->head % QUEUE];
    if (first->due_ns > now) {
        *next_ns = first->due_ns < *next_ns ? first->due_ns : *next_ns;
        return NULL;
    }
    q->head++;
    return first;
}

static bool is_cut(const port *p, int64_t now)
{
    return p->cut_until_ns > now;
}

/* From a sender's cable to every receiver it is meant for; unknown and group addresses go to all. */
static void distribute(network *net, int from, const frame *f, int64_t now)
{
    bool is_known = false;
    for (int i = 0; i < net->n_ports; i++) {
        is_known = is_known || (net->ports[i].has_mac &&
                                memcmp(net->ports[i].mac, f->data, MAC_BYTES) == 0);
    }
    for (int i = 0; i < net->n_ports; i++) {
        port *to = &net->ports[i];
        bool is_target = !is_known || memcmp(to->mac, f->data, MAC_BYTES) == 0;
        if (i != from && is_target && !is_cut(to, now) && !is_lost(net, to->loss_ppm)) {
            push(&to->down, f->data, f->bytes, now, to, to->delay_ns);
        }
    }
}

/* Move every frame whose time has come; returns when the next one is due. */
static int64_t deliver(network *net, int64_t now)
{
    int64_t next_ns = FOR_GOOD;
    for (int i = 0; i < net->n_ports; i++) {
        for (frame *f; (f = pop_due(&net->ports[i].up, now, &next_ns)) != NULL;) {
            distribute(net, i, f, now);
            free(f->data);
        }
    }
    for (int i = 0; i < net->n_ports; i++) {
        port *p = &net->ports[i];
        for (frame *f; (f = pop_due(&p->down, now, &next_ns)) != NULL;) {
            /* a device that is down or full loses the frame, as a real one does */
            ssize_t written = is_cut(p, now) ? 0 : write(p->device, f->data, f->bytes);
            (void)written;
            free(f->data);
        }
    }
    return next_ns;
}

static void take_frames(port *p, int64_t now)
{
    unsigned char data[FRAME_BYTES];
    for (int i = 0; i < BURST; i++) {
        ssize_t bytes = read(p->device, data, sizeof data);
        if (bytes < 2 * MAC_BYTES) {
            return;
        }
        memcpy(p->mac, data + MAC_BYTES, MAC_BYTES);
        p->has_mac = true;
        if (!is_cut(p, now)) {
            push(&p->up, data, (size_t)bytes, now, p, 0);
        }
    }
}

static bool set_port(port *p, const char *what, double value)
{
    if (strcmp(what, "rate") == 0 && value > 0.0) {
        p->bytes_per_ns = value * 1e6 / 8.0 / 1e9;
    } else if (strcmp(what, "delay") == 0) {
        p->delay_ns = (int64_t)(value * NS_PER_US);
    } else if (strcmp(what, "loss") == 0) {
        p->loss_ppm = (uint32_t)value;
    } else if (strcmp(what, "cut") == 0) {
        p->cut_until_ns =
            value > 0.0 ? now_ns() + (int64_t)(value * (double)NS_PER_S) : FOR_GOOD;
    } else if (strcmp(what, "mend") == 0) {
        p->cut_until_ns = 0;
    } else {
        return false;
    }
    return true;
}

/* Obey the lines that have come; false at the end of standard input. */
static bool obey(network *net)
{
    char line[128];
    ssize_t bytes = read(STDIN_FILENO, line, sizeof line - 1);
    if (bytes <= 0) {
        return bytes < 0 && errno == EINTR;
    }
    line[bytes] = '\0';
    for (char *rest = line, *one; (one = strtok_r(rest, "\n", &rest)) != NULL;) {
        char what[16] = "";
        int which = -1;
        double value = 0.0;
        int n = sscanf(one, "%15s %d %lf", what, &which, &value);
        bool ok = n >= 2 && which >= 0 && which < net->n_ports && value >= 0.0 &&
                  set_port(&net->ports[which], what, value);
        (void)printf("%s %" PRIu64 "\n", ok ? "ok" : "not understood", net->n_lost);
        (void)fflush(stdout);
    }
    return true;
}

static void run(network *net)
{
    struct pollfd wait[MAX_PORTS + 1];
    bool is_open = true;
    for (int i = 0; i < net->n_ports; i++) {
        wait[i] = (struct pollfd){.fd = net->ports[i].device, .events = POLLIN};
    }
    wait[net->n_ports] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    while (is_open) {
        int64_t now = now_ns();
        int64_t next_ns = deliver(net, now);
        int64_t left = next_ns == FOR_GOOD ? NS_PER_S : next_ns - now;
        struct timespec limit = {left / NS_PER_S, left % NS_PER_S};
        if (ppoll(wait, (nfds_t)net->n_ports + 1, &limit, NULL) < 0) {
            continue;
        }
        now = now_ns();
        for (int i = 0; i < net->n_ports; i++) {
            if ((wait[i].revents & POLLIN) != 0) {
                take_frames(&net->ports[i], now);
            }
        }
        if (wait[net->n_ports].revents != 0) {
            is_open = obey(net);
        }
    }
}

static bool open_port(port *p, const char *prefix, int index)
{
    struct ifreq request = {0};
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s%d", prefix, index);
    p->device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    return p->device >= 0 && ioctl(p->device, TUNSETIFF, &request) == 0;
}

int main(int argc, char **argv)
{
    network net = {.n_ports = argc == 6 ? atoi(argv[2]) : 0,
                   .random = 88172645463325252u};
    if (net.n_ports < 1 || net.n_ports > MAX_PORTS) {
        (void)fprintf(stderr, "usage: link PREFIX PORTS RATE_MBIT DELAY_US LOSS_PPM, "
                              "1 to 16 ports\n");
        return 2;
    }
    net.ports = calloc((size_t)net.n_ports, sizeof *net.ports);
    if (net.ports == NULL) {
        return 1;
    }
    bool is_up = true;
    for (int i = 0; i < net.n_ports && is_up; i++) {
        port *p = &net.ports[i];
        is_up = set_port(p, "rate", atof(argv[3])) &&
                set_port(p, "delay", atof(argv[4])) &&
                set_port(p, "loss", atof(argv[5])) && open_port(p, argv[1], i);
    }
    if (is_up) {
        (void)printf("ready\n");
        (void)fflush(stdout);
        run(&net);
    } else {
        perror("link: a number is out of range or a TAP device cannot be made");
    }
    free(net.ports);
    return is_up ? 0 : 1;
}
