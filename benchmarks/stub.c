/* A gateway that costs next to nothing, so that what is measured is the client.
 *
 * One thread, epoll, loopback only. It answers every POST with a chat.completion, or with an event stream if the body
 * says "stream": true. It prints its port on the first line, ends when its standard input does, and prints what it
 * counted on the last line. Built on demand by stub.py.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NOWHERE ((size_t)-1)
#define LARGEST (8u << 20) /* bytes of one request */

enum { ONCE, EACH, PACED };

/* What the command line sets: see usage(). */
static long events = 200, interval_us = 20000, delay_ms, tail_ms, tail_every, limit, window_ms = 1000, retry_after, burst = 1;
static int mode = ONCE, stamped, noted = -1;

static long requests, completions, streams, refused, connections, open_now, open_most, unread;

struct text { char *at; size_t len, cap; };

struct conn {
    int fd;
    int busy;        /* an answer is under way: the next request waits in the buffer */
    int streaming;
    int wants_out;   /* EPOLLOUT is asked for */
    int ready;       /* stands in the list of those that get one event per turn */
    long event;      /* the next one to send */
    long long due;   /* when, for what waits */
    size_t place;    /* in the heap */
    struct text in, out, said; /* said: the last text of the request, where requests are noted */
    size_t sent;     /* of out */
};

static struct conn **heap, **ready;
static size_t heap_len, heap_cap, ready_len, ready_cap;
static int poller;

static void die(const char *what) { perror(what); exit(1); }

static void *bigger(void *old, size_t bytes) {
    void *at = realloc(old, bytes);
    if (!at) die("realloc");
    return at;
}

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void room(struct text *t, size_t more) {
    if (t->len + more <= t->cap) return;
    t->cap = (t->len + more) * 2;
    t->at = bigger(t->at, t->cap);
}

static void add(struct text *t, const void *bytes, size_t len) {
    room(t, len);
    memcpy(t->at + t->len, bytes, len);
    t->len += len;
}

static void addf(struct text *t, const char *format, ...) {
    va_list values;
    room(t, 2048);
    va_start(values, format);
    t->len += (size_t)vsnprintf(t->at + t->len, 2048, format, values);
    va_end(values);
}

/* -- what is sent ------------------------------------------------------------------------------------------------ */

#define TOKENS 1000 /* different texts, of one length: a client may take a stream that repeats itself for broken */

static struct text completion, before_length, stream_head, tokens[TOKENS], first_chunk, last_chunk, whole_stream;

static const char OPENING[] =
    "{\"id\":\"chatcmpl-20260427111505260254000NBdvZFoP\",\"object\":\"chat.completion%s\",\"created\":1777288505,"
    "\"model\":\"gemini-2.5-pro\",\"system_fingerprint\":null,\"choices\":[{\"index\":0,";
static const char USAGE[] =
    "\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":57,\"total_tokens\":69,\"prompt_tokens_details\":"
    "{\"cached_tokens\":0,\"text_tokens\":12,\"audio_tokens\":0,\"image_tokens\":0},\"completion_tokens_details\":"
    "{\"text_tokens\":57,\"audio_tokens\":0,\"reasoning_tokens\":0}}}";
static const char ANSWER[] =
    "The sky is blue because air scatters the short waves of sunlight far more than the long ones, so that blue "
    "light reaches the eye from every direction while the red light mostly passes straight through.";

static void framed(struct text *t, const struct text *event) { /* one chunk of the transfer encoding, one event */
    addf(t, "%zx\r\n", event->len + 8);
    add(t, "data: ", 6);
    add(t, event->at, event->len);
    add(t, "\n\n\r\n", 4);
}

static void chunk(struct text *t, const char *delta, const char *finish, const char *usage) {
    struct text event = {0};
    addf(&event, OPENING, ".chunk");
    addf(&event, "\"delta\":{%s},\"logprobs\":null,\"finish_reason\":%s}],%s", delta, finish, usage);
    framed(t, &event);
    free(event.at);
}

static void stamp_of(struct text *t, long long stamp) {
    char delta[64];
    snprintf(delta, sizeof delta, "\"content\":\"%019lld\"", stamp);
    chunk(t, delta, "null", "\"usage\":null}");
}

static void prepare(void) {
    struct text body = {0};
    addf(&body, OPENING, "");
    addf(&body, "\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},\"logprobs\":null,", ANSWER);
    addf(&body, "\"finish_reason\":\"stop\"}],%s", USAGE);
    /* What a gateway behind a CDN sends beside the type and the length: with these, 20 lines. See add_head(). */
    const char *common =
        "date: Mon, 27 Apr 2026 11:15:@@ GMT\r\n"
        "connection: keep-alive\r\n"
        "server: stub\r\n"
        "x-request-id: 20260427111505######\r\n"
        "x-oneapi-request-id: 20260427111505######000NBdvZFoP\r\n"
        "x-new-api-version: v0.9.2\r\n"
        "x-envoy-upstream-service-time: 8##\r\n"
        "openai-processing-ms: 7##\r\n"
        "access-control-allow-origin: *\r\n"
        "access-control-expose-headers: X-Request-ID\r\n"
        "vary: Origin, Accept-Encoding\r\n"
        "strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n"
        "x-content-type-options: nosniff\r\n"
        "cf-cache-status: DYNAMIC\r\n"
        "cf-ray: 9f2c1a7b3d######-FRA\r\n"
        "report-to: {\"group\":\"nel\",\"max_age\":604800,\"endpoints\":[{\"url\":\"https://reports.invalid/nel\"}]}\r\n"
        "nel: {\"success_fraction\":0,\"report_to\":\"nel\",\"max_age\":604800}\r\n"
        "alt-svc: h3=\":443\"; ma=86400\r\n";
    addf(&before_length, "HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\n%scontent-length: ", common);
    add(&completion, before_length.at, before_length.len);
    addf(&completion, "%zu\r\n\r\n", body.len);
    add(&completion, body.at, body.len);
    free(body.at);
    addf(&stream_head, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n%s"
         "transfer-encoding: chunked\r\n\r\n", common);
    chunk(&first_chunk, "\"role\":\"assistant\",\"content\":\"\"", "null", "\"usage\":null}");
    for (long i = 0; i < TOKENS; i++) {
        char delta[64];
        snprintf(delta, sizeof delta, "\"content\":\" the next token, %03ld\"", i);
        chunk(&tokens[i], delta, "null", "\"usage\":null}");
    }
    chunk(&last_chunk, "", "\"stop\"", USAGE);
    add(&last_chunk, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n", 24);
    add(&whole_stream, stream_head.at, stream_head.len);
    add(&whole_stream, first_chunk.at, first_chunk.len);
    for (long i = 1; i < events - 1; i++) add(&whole_stream, tokens[i % TOKENS].at, tokens[i % TOKENS].len);
    add(&whole_stream, last_chunk.at, last_chunk.len);
}

/* -- who waits --------------------------------------------------------------------------------------------------- */

static void put(size_t i, struct conn *c) { heap[i] = c; c->place = i; }

static void settle(size_t i) {
    struct conn *c = heap[i];
    while (i && heap[(i - 1) / 2]->due > c->due) { put(i, heap[(i - 1) / 2]); i = (i - 1) / 2; }
    for (size_t j; (j = 2 * i + 1) < heap_len; i = j) {
        if (j + 1 < heap_len && heap[j + 1]->due < heap[j]->due) j++;
        if (heap[j]->due >= c->due) break;
        put(i, heap[j]);
    }
    put(i, c);
}

static void wait_until(struct conn *c, long long due) {
    c->due = due;
    if (heap_len == heap_cap) heap = bigger(heap, (heap_cap = heap_cap * 2 + 64) * sizeof *heap);
    put(heap_len++, c);
    settle(heap_len - 1);
}

static void leave(struct conn *c) {
    size_t i = c->place;
    if (i == NOWHERE) return;
    c->place = NOWHERE;
    struct conn *last = heap[--heap_len];
    if (last == c) return;
    put(i, last);
    settle(i);
}

/* -- connections ------------------------------------------------------------------------------------------------- */

static void hang_up(struct conn *c) {
    leave(c);
    for (size_t i = 0; c->ready && i < ready_len; i++)
        if (ready[i] == c) { ready[i] = NULL; break; }
    if (c->streaming) { unread++; open_now--; }
    close(c->fd);
    free(c->in.at);
    free(c->out.at);
    free(c->said.at);
    free(c);
}

/* Send what stands in out; false if the connection is gone. */
static int flush(struct conn *c) {
    while (c->sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.at + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);
        if (n > 0) { c->sent += (size_t)n; continue; }
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        hang_up(c);
        return 0;
    }
    int blocked = c->sent < c->out.len;
    if (!blocked) c->out.len = c->sent = 0;
    if (blocked != c->wants_out) {
        struct epoll_event e = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0), .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
        c->wants_out = blocked;
    }
    return 1;
}

/* In mode EACH a stream gets its next event in the next turn; if its buffer is full, when there is room again. */
static int next_turn(struct conn *c) {
    if (mode != EACH || !c->streaming || c->ready || c->wants_out) return 1;
    if (ready_len == ready_cap) ready = bigger(ready, (ready_cap = ready_cap * 2 + 64) * sizeof *ready);
    ready[ready_len++] = c;
    return c->ready = 1;
}

static void ended(struct conn *c) { c->busy = c->streaming = 0; open_now--; }

static int send_event(struct conn *c) {
    if (c->event >= events - 1) {
        add(&c->out, last_chunk.at, last_chunk.len);
        ended(c);
    } else {
        if (stamped) stamp_of(&c->out, now_ns());
        else add(&c->out, tokens[c->event % TOKENS].at, tokens[c->event % TOKENS].len);
        c->event++;
        if (mode == PACED) wait_until(c, c->due + interval_us * 1000);
    }
    return flush(c) && next_turn(c);
}

/* Add an answer whose head is no other's: # is a digit of the answer's number, @ one of the clock's seconds. */
static void add_head(struct text *t, const struct text *answer) {
    size_t from = t->len;
    add(t, answer->at, answer->len);
    char *head = t->at + from, *over = memmem(head, answer->len, "content-length", 14);
    if (!over) over = memmem(head, answer->len, "transfer-encoding", 17);
    long number = completions + streams, second = now_ns() / 1000000000LL % 60;
    for (char *at = over; at-- > head;) {
        if (*at == '#') *at = (char)('0' + number % 10), number = at[-1] == '#' ? number / 10 : completions + streams;
        else if (*at == '@') *at = (char)('0' + second % 10), second /= 10;
    }
}

static int begin_stream(struct conn *c, long long now) {
    long nth = streams++;
    c->streaming = 1;
    if (++open_now > open_most) open_most = open_now;
    if (mode == ONCE) {
        add_head(&c->out, &whole_stream);
        ended(c);
        return flush(c);
    }
    add_head(&c->out, &stream_head);
    add(&c->out, first_chunk.at, first_chunk.len);
    add(&c->out, tokens[1].at, tokens[1].len); /* content, at once: with it the stream counts as open */
    c->event = 2;
    if (mode == PACED) {
        /* Phases are the same for every client, however fast it opens streams: those of one burst come together. */
        long long period = interval_us * 1000LL;
        double turns = (double)(nth / burst) * 0.6180339887;
        long long due = now - now % period + (long long)((turns - (double)(long)turns) * (double)period);
        wait_until(c, due > now ? due : due + period);
    }
    return flush(c) && next_turn(c);
}

/* Write down the last text of a request, a line of its own, as it stands in the JSON; it will be the answer, too. */
static void note(struct conn *c, const char *body, size_t len) {
    static const char name[] = "\"content\":\"";
    const char *at = NULL, *next = body, *over = body + len;
    c->said.len = 0;
    while ((next = memmem(next, (size_t)(over - next), name, sizeof name - 1))) at = next += sizeof name - 1;
    if (!at) return;
    for (next = at; next < over && *next != '"'; next++)
        if (*next == '\\') next++;
    add(&c->said, at, (size_t)((next < over ? next : over) - at));
    add(&c->said, "\n", 1);
    if (write(noted, c->said.at, c->said.len) != (ssize_t)c->said.len) die("write");
    c->said.len--;
}

static void repeat(struct conn *c) {
    struct text body = {0};
    addf(&body, OPENING, "");
    addf(&body, "\"message\":{\"role\":\"assistant\",\"content\":\"");
    add(&body, c->said.at, c->said.len);
    addf(&body, "\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],%s", USAGE);
    add_head(&c->out, &before_length);
    addf(&c->out, "%zu\r\n\r\n", body.len);
    add(&c->out, body.at, body.len);
    free(body.at);
}

static int reply(struct conn *c) {
    if (c->said.len) repeat(c);
    else add_head(&c->out, &completion);
    completions++;
    c->busy = 0;
    return flush(c);
}

static int answer(struct conn *c, int wants_stream) {
    static long long window_end;
    static long in_window;
    long long now = now_ns();
    long nth = requests++;
    if (limit) {
        if (now >= window_end) { window_end = now + window_ms * 1000000; in_window = 0; }
        if (in_window++ >= limit) {
            const char *body = "{\"error\":{\"message\":\"rate limit reached\",\"type\":\"rate_limit_error\",\"code\":"
                               "\"rate_limit_exceeded\"}}";
            refused++;
            addf(&c->out, "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\n");
            if (retry_after) addf(&c->out, "retry-after: %ld\r\n", retry_after);
            addf(&c->out, "content-length: %zu\r\n\r\n%s", strlen(body), body);
            return flush(c);
        }
    }
    c->busy = 1;
    if (wants_stream) return begin_stream(c, now);
    long ms = tail_every && nth % tail_every == tail_every / 2 ? tail_ms : delay_ms;
    if (!ms) return reply(c);
    wait_until(c, now + ms * 1000000LL);
    return 1;
}

static int has_stream(const char *body, size_t len) {
    const char *at = memmem(body, len, "\"stream\":", 9);
    if (!at) return 0;
    for (at += 9; at < body + len && *at == ' ';) at++;
    return at < body + len && *at == 't';
}

/* Answer whole requests in the buffer; false if the connection is gone. */
static int serve(struct conn *c) {
    while (!c->busy && c->in.len) {
        char *end = memmem(c->in.at, c->in.len, "\r\n\r\n", 4);
        if (!end) return 1;
        size_t head = (size_t)(end - c->in.at) + 4;
        end[2] = '\0'; /* what follows is looked at by length only */
        char *field = strcasestr(c->in.at, "\r\ncontent-length:");
        size_t length = field ? strtoul(field + 17, NULL, 10) : 0;
        end[2] = '\r';
        if (head + length > LARGEST) { hang_up(c); return 0; }
        if (c->in.len < head + length) return 1;
        int wants_stream = has_stream(c->in.at + head, length);
        if (noted >= 0) note(c, c->in.at + head, length);
        c->in.len -= head + length;
        memmove(c->in.at, c->in.at + head + length, c->in.len);
        if (!answer(c, wants_stream)) return 0;
    }
    return 1;
}

static void readable(struct conn *c) {
    room(&c->in, 16384);
    ssize_t n = recv(c->fd, c->in.at + c->in.len, c->in.cap - c->in.len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) { hang_up(c); return; }
    c->in.len += (size_t)n;
    serve(c);
}

static void watch(int fd, unsigned events_of_it, void *what) {
    struct epoll_event e = {.events = events_of_it, .data.ptr = what};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
}

static void accepted(int listener) {
    for (int fd, yes = 1; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        struct conn *c = calloc(1, sizeof *c);
        if (!c) die("calloc");
        c->fd = fd;
        c->place = NOWHERE;
        watch(fd, EPOLLIN, c);
        connections++;
    }
}

/* Those whose time has come, then one event for each that stands in the list. */
static void turn(void) {
    long long now = now_ns();
    while (heap_len && heap[0]->due <= now) {
        struct conn *c = heap[0];
        leave(c);
        if ((c->streaming ? send_event(c) : reply(c)) && !c->busy) serve(c);
    }
    size_t n = ready_len, kept = 0;
    struct conn *turned[n + 1];
    for (size_t i = 0; i < n; i++)
        if (ready[i]) turned[kept++] = ready[i];
    memmove(ready, ready + n, (ready_len - n) * sizeof *ready);
    ready_len -= n;
    for (size_t i = 0; i < kept; i++) {
        turned[i]->ready = 0;
        if (send_event(turned[i]) && !turned[i]->busy) serve(turned[i]);
    }
}

/* Wake up in time for the first that waits: milliseconds of epoll_wait would bunch events that are apart. */
static void arm(int timer) {
    static long long armed;
    if (!heap_len || heap[0]->due == armed) return;
    armed = heap[0]->due;
    struct itimerspec at = {.it_value = {armed / 1000000000, armed % 1000000000}};
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL)) die("timerfd_settime");
}

static int usage(void) {
    fputs("stub [--events N] [--mode once|each|paced] [--interval-us N] [--burst STREAMS] [--stamp 1]\n"
          "     [--delay-ms N] [--tail-ms N] [--tail-every N] [--limit N] [--window-ms N] [--retry-after S]\n"
          "     [--noted FILE]\n", stderr);
    return 2;
}

int main(int argc, char **argv) {
    struct { const char *name; long *value; } options[] = {
        {"--events", &events}, {"--interval-us", &interval_us}, {"--burst", &burst}, {"--delay-ms", &delay_ms},
        {"--tail-ms", &tail_ms}, {"--tail-every", &tail_every}, {"--limit", &limit}, {"--window-ms", &window_ms},
        {"--retry-after", &retry_after}};
    for (int i = 1; i + 1 < argc; i += 2) {
        size_t j = 0, known = sizeof options / sizeof *options;
        while (j < known && strcmp(argv[i], options[j].name)) j++;
        if (j < known) *options[j].value = atol(argv[i + 1]);
        else if (!strcmp(argv[i], "--stamp")) stamped = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--noted")) {
            if ((noted = open(argv[i + 1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) < 0) die(argv[i + 1]);
        } else if (!strcmp(argv[i], "--mode"))
            mode = !strcmp(argv[i + 1], "each") ? EACH : !strcmp(argv[i + 1], "paced") ? PACED : ONCE;
        else return usage();
    }
    if (argc % 2 == 0 || events < 3 || interval_us < 1 || burst < 1) return usage();
    prepare();
    signal(SIGINT, SIG_IGN); /* Ctrl-C is for whoever started this; what counts is the end of the input */
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 8192)) die("listen");
    if (getsockname(listener, (struct sockaddr *)&address, &size)) die("getsockname");
    poller = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), input = STDIN_FILENO;
    watch(listener, EPOLLIN, &listener);
    watch(timer, EPOLLIN | EPOLLET, &timer);
    watch(input, EPOLLIN, &input);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    for (int over = 0; !over;) {
        struct epoll_event got[256];
        arm(timer);
        int n = epoll_wait(poller, got, 256, ready_len ? 0 : -1);
        for (int i = 0; i < n; i++) {
            void *what = got[i].data.ptr;
            struct conn *c = what;
            char end;
            if (what == &input) over |= read(input, &end, 1) <= 0;
            else if (what == &listener) accepted(listener);
            else if (what == &timer) continue; /* turn() looks at the clock */
            else if (!(got[i].events & EPOLLOUT)) readable(c);
            else if (flush(c) && next_turn(c) && !c->busy) serve(c);
        }
        turn();
    }
    printf("{\"requests\":%ld,\"completions\":%ld,\"streams\":%ld,\"refused\":%ld,\"connections\":%ld,"
           "\"most_open\":%ld,\"left_unread\":%ld}\n",
           requests, completions, streams, refused, connections, open_most, unread);
    return 0;
}
