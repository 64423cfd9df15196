/* delay-line MICROSECONDS NAMESPACE...
 *
 * Every packet that a rule of a namespace sends to its netfilter queue 0 waits here for so long and then goes on, in order.
 * It is for kernels that have no netem. Packets stay in the kernel: only their numbers come up, and since numbers of a
 * queue grow, one verdict releases all packets up to the last that is due. Prints a line when it is ready; SIGTERM ends it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WAITING_MAX (1u << 16) /* per namespace; the kernel lets further ones pass at once */
#define NOTES 64               /* notes from the kernel taken in one call */
#define NOTE_BYTES 512

struct waiting {
    int64_t due; /* nanoseconds of the monotonic clock */
    uint32_t number;
};

struct lane {
    int fd;
    uint32_t in, out; /* counters; their difference is how many wait */
    struct waiting ring[WAITING_MAX];
};

struct request {
    struct nlmsghdr head;
    struct nfgenmsg family;
    char attributes[128];
};

static int64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static void begin(struct request *request, int kind, int flags) {
    memset(request, 0, sizeof *request);
    request->head.nlmsg_len = NLMSG_LENGTH(sizeof request->family);
    request->head.nlmsg_type = (NFNL_SUBSYS_QUEUE << 8) | kind;
    request->head.nlmsg_flags = NLM_F_REQUEST | flags;
}

static void attach(struct request *request, int type, const void *value, size_t bytes) {
    struct nlattr *at = (struct nlattr *)((char *)request + request->head.nlmsg_len);
    at->nla_type = type;
    at->nla_len = NLA_HDRLEN + bytes;
    memcpy((char *)at + NLA_HDRLEN, value, bytes);
    request->head.nlmsg_len += NLA_ALIGN(at->nla_len);
}

/* Sends a request that configures the queue and waits until the kernel agreed. */
static void configure(int fd, struct request *request, const char *what) {
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
        char more[512];
    } reply;
    if (send(fd, request, request->head.nlmsg_len, 0) < 0) err(1, "%s", what);
    if (recv(fd, &reply, sizeof reply, 0) < 0) err(1, "%s", what);
    if (reply.head.nlmsg_type != NLMSG_ERROR) errx(1, "%s: unexpected answer", what);
    if (reply.error.error != 0) {
        errno = -reply.error.error;
        err(1, "%s", what);
    }
}

/* A netlink socket belongs to the namespace in which it was opened, wherever its process goes afterwards. */
static struct lane *open_lane(const char *namespace) {
    struct lane *lane = calloc(1, sizeof *lane);
    struct request request;
    char path[300];
    snprintf(path, sizeof path, "/run/netns/%s", namespace);
    int at = open(path, O_RDONLY | O_CLOEXEC);
    if (lane == NULL || at < 0 || setns(at, 0) < 0) err(1, "%s", path);
    close(at);
    lane->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (lane->fd < 0) err(1, "netlink");
    int buffer = 8 << 20, yes = 1;
    setsockopt(lane->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    setsockopt(lane->fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &yes, sizeof yes);

    struct nfqnl_msg_config_cmd bind_queue = {.command = NFQNL_CFG_CMD_BIND, .pf = htons(AF_INET)};
    begin(&request, NFQNL_MSG_CONFIG, NLM_F_ACK);
    attach(&request, NFQA_CFG_CMD, &bind_queue, sizeof bind_queue);
    configure(lane->fd, &request, "bind");

    struct nfqnl_msg_config_params numbers_only = {.copy_range = 0, .copy_mode = NFQNL_COPY_META};
    uint32_t waiting_max = htonl(WAITING_MAX - 1);
    uint32_t flags = htonl(NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN); /* large packets stay whole; none is lost here */
    begin(&request, NFQNL_MSG_CONFIG, NLM_F_ACK);
    attach(&request, NFQA_CFG_PARAMS, &numbers_only, sizeof numbers_only);
    attach(&request, NFQA_CFG_QUEUE_MAXLEN, &waiting_max, sizeof waiting_max);
    attach(&request, NFQA_CFG_MASK, &flags, sizeof flags);
    attach(&request, NFQA_CFG_FLAGS, &flags, sizeof flags);
    configure(lane->fd, &request, "parameters");
    return lane;
}

static uint32_t number_in(const char *note) {
    const struct nlattr *first = (const struct nlattr *)(note + NLMSG_LENGTH(sizeof(struct nfgenmsg)));
    struct nfqnl_msg_packet_hdr packet; /* always the first attribute */
    memcpy(&packet, (const char *)first + NLA_HDRLEN, sizeof packet);
    return packet.packet_id; /* stays in network order: it only goes back */
}

static void take(struct lane *lane, int64_t delay) {
    static char notes[NOTES][NOTE_BYTES];
    struct iovec parts[NOTES];
    struct mmsghdr messages[NOTES];
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < NOTES; i++) {
        parts[i] = (struct iovec){notes[i], NOTE_BYTES};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    int count = recvmmsg(lane->fd, messages, NOTES, MSG_DONTWAIT, NULL);
    int64_t due = now() + delay;
    for (int i = 0; i < count; i++) {
        if (((struct nlmsghdr *)notes[i])->nlmsg_type != ((NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET)) continue;
        lane->ring[lane->in++ % WAITING_MAX] = (struct waiting){due, number_in(notes[i])};
    }
}

static void release(struct lane *lane, int64_t until) {
    struct nfqnl_msg_verdict_hdr verdict = {.verdict = htonl(NF_ACCEPT)};
    int any = 0;
    for (; lane->out != lane->in && lane->ring[lane->out % WAITING_MAX].due <= until; lane->out++, any = 1)
        verdict.id = lane->ring[lane->out % WAITING_MAX].number;
    if (!any) return;
    struct request request;
    begin(&request, NFQNL_MSG_VERDICT_BATCH, 0);
    attach(&request, NFQA_VERDICT_HDR, &verdict, sizeof verdict);
    send(lane->fd, &request, request.head.nlmsg_len, 0);
}

int main(int count, char **words) {
    int lanes = count - 2;
    if (lanes < 1) errx(2, "usage: delay-line MICROSECONDS NAMESPACE...");
    int64_t delay = atoll(words[1]) * 1000;
    int64_t early = delay / 20 < 200000 ? delay / 20 : 200000; /* spares a wake-up for each of a few packets in a row */
    struct lane **lane = calloc(lanes, sizeof *lane);
    struct pollfd *ready = calloc(lanes, sizeof *ready);
    for (int i = 0; i < lanes; i++) {
        lane[i] = open_lane(words[i + 2]);
        ready[i] = (struct pollfd){.fd = lane[i]->fd, .events = POLLIN};
    }
    /* Punctual on a busy machine too. */
    if (sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = 1}) < 0) setpriority(PRIO_PROCESS, 0, -15);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int64_t next = INT64_MAX;
        for (int i = 0; i < lanes; i++)
            if (lane[i]->in != lane[i]->out && lane[i]->ring[lane[i]->out % WAITING_MAX].due < next)
                next = lane[i]->ring[lane[i]->out % WAITING_MAX].due;
        int64_t pause = next == INT64_MAX ? 0 : next - now();
        if (pause < 0) pause = 0;
        struct timespec timeout = {pause / 1000000000, pause % 1000000000};
        if (ppoll(ready, lanes, next == INT64_MAX ? NULL : &timeout, NULL) > 0)
            for (int i = 0; i < lanes; i++)
                if (ready[i].revents != 0) take(lane[i], delay);
        int64_t until = now() + early;
        for (int i = 0; i < lanes; i++) release(lane[i], until);
    }
}
