/* The limit: sends blocks of given sizes at given times to everybody who has connected.
 *
 *   raw SCHEDULE      a period in microseconds, then lines of "due size" within it
 *
 * Prints its port. No protocol, no queues: what a socket does not take at once is counted and lost.
 * On SIGTERM prints the number of writes and of bytes lost.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_BLOCKS = 65536, MAX_CLIENTS = 65536, MAX_BLOCK_BYTES = 16 << 20 };

static long long due_us[MAX_BLOCKS];
static long size_of[MAX_BLOCKS];
static int clients[MAX_CLIENTS];
static char block[MAX_BLOCK_BYTES];
static volatile sig_atomic_t ended;

static void end(int number) { (void)number; ended = 1; }

static int listen_anywhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) || listen(fd, 4096)) exit(1);
    getsockname(fd, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static int accept_all(int listener, int count) {
    int fd, on = 1;
    while (count < MAX_CLIENTS && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        clients[count++] = fd;
    }
    return count;
}

static void sleep_until(long long us) {
    struct timespec at = {us / 1000000, us % 1000000 * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

int main(int argc, char **argv) {
    long long period_us;
    int blocks = 0, count = 0;
    FILE *schedule = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (!schedule || fscanf(schedule, "%lld", &period_us) != 1) return 2;
    while (blocks < MAX_BLOCKS && fscanf(schedule, "%lld %ld", &due_us[blocks], &size_of[blocks]) == 2)
        blocks++;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGTERM, end);
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_anywhere();
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long start_us = now.tv_sec * 1000000LL + now.tv_nsec / 1000, writes = 0, lost = 0;
    for (; !ended; start_us += period_us)
        for (int at = 0; at < blocks && !ended; at++) {
            sleep_until(start_us + due_us[at]);
            for (int client = 0; client < count; client++) {
                ssize_t sent = send(clients[client], block, size_of[at], MSG_NOSIGNAL);
                writes++;
                lost += size_of[at] - (sent > 0 ? sent : 0);
            }
            count = accept_all(listener, count);
        }
    printf("%lld %lld\n", writes, lost);
    return 0;
}
