// The least that a request and its reply between two processes over one Redis can cost: no library, no encoding.
//
//     redis-relay PORT answer
//     redis-relay PORT ask IN-FLIGHT SECONDS
//     redis-relay PORT hear CHANNEL
//
// `ask` publishes messages of 128 bytes, `answer` publishes one of its own for each that it hears. Both have two
// connections. `ask` prints how many came back per second. `hear` subscribes a channel and drops what comes.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LENGTH 128
#define MAXIMUM 1024

static int connected(int port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        perror("connect");
        exit(1);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void send_all(int fd, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = write(fd, bytes, count);
        if (sent <= 0) exit(1);
        bytes += sent;
        count -= sent;
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc < 3) return 64;
    int asks = strcmp(argv[2], "ask") == 0, port = atoi(argv[1]);
    int in_flight = asks && argc > 3 ? atoi(argv[3]) : 0;
    double end = asks && argc > 4 ? now() + atof(argv[4]) : 0, start = now();
    if (in_flight > MAXIMUM) return 64;

    int subscriber = connected(port), publisher = connected(port);
    char text[256], *commands = malloc(2 * MAXIMUM * 256), input[65536], payload[LENGTH + 1] = {0};
    int hears = strcmp(argv[2], "hear") == 0 && argc > 3;
    const char *own = hears ? argv[3] : asks ? "asking" : "answers", *other = asks ? "answers" : "asking";
    memset(payload, 'x', LENGTH);
    int length = snprintf(text, sizeof text, "SUBSCRIBE %s\r\n", own);
    if (length >= (int)sizeof text) return 64;
    send_all(subscriber, text, length);
    if (read(subscriber, input, sizeof input) <= 0) return 1;
    if (!asks) puts("running"), fflush(stdout);
    while (hears && read(subscriber, input, sizeof input) > 0) {}
    if (hears) return 0;

    int command = sprintf(text, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%d\r\n%s\r\n", strlen(other), other, LENGTH, payload);
    for (int index = 0; index < 2 * MAXIMUM; index++) memcpy(commands + index * command, text, command);
    // What a message of the own channel is long: all are alike, so that counting is dividing.
    size_t message = strlen("*3\r\n$7\r\nmessage\r\n$7\r\n\r\n$128\r\n\r\n") + strlen(own) + LENGTH, pending = 0;
    long heard = 0;
    char drop[65536];
    if (asks) send_all(publisher, commands, (size_t)in_flight * command);
    for (;;) {
        ssize_t count = read(subscriber, input, sizeof input);
        if (count <= 0) return 0;
        pending += count;
        size_t messages = pending / message;
        pending %= message;
        heard += messages;
        if (asks && now() > end) break;
        if (messages > 0) send_all(publisher, commands, messages * command);
        while (recv(publisher, drop, sizeof drop, MSG_DONTWAIT) > 0) {}
    }
    printf("%.0f\n", heard / (now() - start));
    return 0;
}
