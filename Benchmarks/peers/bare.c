// The least that a WebSocket server on one thread can do: epoll, one read and one send per message, no limits, no checks.
// It shows how far the machine lets any server come. It answers each message with the message itself, except that
// "joinRoom" makes its sender a member and "command" goes to all members, as compare's messages have it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_SOCKETS = 70000, MAX_READ = 65536 };

static char is_open[MAX_SOCKETS];
static int members[MAX_SOCKETS], member_count;

static uint32_t rotate(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

// Of at most 119 bytes.
static void sha1(const char *text, size_t length, unsigned char digest[20]) {
    unsigned char block[128] = {0};
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    size_t size = length < 56 ? 64 : 128;
    memcpy(block, text, length);
    block[length] = 0x80;
    block[size - 2] = (unsigned char)(length * 8 >> 8);
    block[size - 1] = (unsigned char)(length * 8);
    for (unsigned char *part = block; part < block + size; part += 64) {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t)part[4 * i] << 24 | part[4 * i + 1] << 16 | part[4 * i + 2] << 8 | part[4 * i + 3];
        for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20   ? ((b & c) | (~b & d)) + 0x5A827999
                         : i < 40 ? (b ^ c ^ d) + 0x6ED9EBA1
                         : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC
                                  : (b ^ c ^ d) + 0xCA62C1D6;
            uint32_t next = rotate(a, 5) + f + e + w[i];
            e = d, d = c, c = rotate(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) digest[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void accept_key(const char *key, size_t length, char out[29]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[128];
    unsigned char digest[21] = {0};
    int size = snprintf(text, sizeof text, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)length, key);
    sha1(text, (size_t)size, digest);
    for (int i = 0; i < 7; i++) {
        uint32_t bits = (uint32_t)digest[3 * i] << 16 | digest[3 * i + 1] << 8 | digest[3 * i + 2];
        for (int j = 0; j < 4; j++) out[4 * i + j] = digits[bits >> (18 - 6 * j) & 63];
    }
    out[27] = '=';
    out[28] = 0;
}

static void handshake(int fd, char *request) {
    char *key = strcasestr(request, "sec-websocket-key: "), *end = key ? strstr(key, "\r\n") : NULL, accept[29], answer[200];
    if (!end || end - key > 60) {
        close(fd);
        return;
    }
    accept_key(key + 19, (size_t)(end - key - 19), accept);
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: %s\r\n\r\n",
                        accept);
    is_open[fd] = send(fd, answer, (size_t)size, MSG_NOSIGNAL) == size;
}

static void to_members(const char *payload, size_t length) {
    char frame[256], *time = memmem(payload, length, "\"t\":", 4);
    if (!time || time + 17 > payload + length) return;
    int size = snprintf(frame + 2, sizeof frame - 2, "{\"event\":\"say\",\"payload\":{\"action\":\"toRoom\",\"msg\":{%.17s}}}", time);
    frame[0] = (char)0x81;
    frame[1] = (char)size;
    for (int i = 0; i < member_count; i++) send(members[i], frame, (size_t)size + 2, MSG_NOSIGNAL);
}

// wsload's messages are whole frames of less than 64 KiB, and small enough that a read never ends inside one.
static void answer(int fd, char *in, char *end) {
    static char out[2 * MAX_READ];
    size_t size = 0;
    while (in + 6 <= end) {
        size_t length = (unsigned char)in[1] & 127;
        char *mask = in + 2;
        if (length == 126) {
            length = (size_t)(unsigned char)in[2] << 8 | (unsigned char)in[3];
            mask = in + 4;
        }
        char *payload = mask + 4;
        if (payload + length > end) break;
        for (size_t i = 0; i < length; i++) payload[i] ^= mask[i & 3];
        if (memmem(payload, length, "\"joinRoom\"", 10)) members[member_count++] = fd;
        if (memmem(payload, length, "\"command\"", 9)) to_members(payload, length);
        out[size++] = (char)0x81;
        if (length >= 126) {
            out[size++] = 126;
            out[size++] = (char)(length >> 8);
        }
        out[size++] = (char)length;
        memcpy(out + size, payload, length);
        size += length;
        in = payload + length;
    }
    if (size) send(fd, out, size, MSG_NOSIGNAL);
}

int main(void) {
    static char in[MAX_READ + 1];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poll = epoll_create1(0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[1024];
    if (bind(listener, (void *)&address, length) || listen(listener, 4096)) return 1;
    getsockname(listener, (void *)&address, &length);
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(poll, events, 1024, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                for (int client; (client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
                    if (client >= MAX_SOCKETS) return 1;
                    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    is_open[client] = 0;
                    event.data.fd = client;
                    epoll_ctl(poll, EPOLL_CTL_ADD, client, &event);
                }
                continue;
            }
            ssize_t size = read(fd, in, MAX_READ);
            if (size <= 0) {
                close(fd);
            } else if (is_open[fd]) {
                answer(fd, in, in + size);
            } else {
                in[size] = 0;
                handshake(fd, in);
            }
        }
    }
}
