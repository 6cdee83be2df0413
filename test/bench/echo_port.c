/* SPDX-License-Identifier: Apache-2.0 */
/* echo_port.c - the other end of a {packet,4} port: sends back what came. */
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

static int
transfer(ssize_t (*f)(int, void *, size_t), int fd, uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t k = f(fd, p, n);
        if (k <= 0)
            return -1;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

static ssize_t
put(int fd, void *p, size_t n)
{
    return write(fd, p, n);
}

int
main(void)
{
    size_t cap = 1 << 16;
    uint8_t *p = malloc(cap);
    while (p != NULL && transfer(read, 0, p, 4) == 0) {
        size_t n =
            (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        if (n + 4 > cap) {
            uint8_t *q = realloc(p, n + 4);
            if (q == NULL)
                break;
            p = q;
            cap = n + 4;
        }
        if (transfer(read, 0, p + 4, n) != 0 || transfer(put, 1, p, n + 4) != 0)
            break;
    }
    free(p);
    return 0;
}
