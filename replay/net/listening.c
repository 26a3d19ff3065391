/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/listening.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Its length; 0 at the end of the output. */
static size_t read_line(int fd, char *line, size_t size, int silence_ms)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	size_t len = 0;

	while (len + 1 < size && poll(&ready, 1, silence_ms) == 1 && read(fd, line + len, 1) == 1) {
		if (line[len++] == '\n')
			break;
	}
	line[len] = '\0';
	return len;
}

uint16_t listening_port(int output_fd, int silence_ms)
{
	char line[256];

	while (read_line(output_fd, line, sizeof(line), silence_ms)) {
		const char *colon = strrchr(line, ':');
		uint16_t port = colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;

		if (!strncmp(line, LISTENING, sizeof(LISTENING) - 1) && port)
			return port;
	}
	return 0;
}
