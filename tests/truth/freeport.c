/* SPDX-License-Identifier: Apache-2.0 */
/* Prints a TCP port of the loopback that nobody uses: the kernel's choice. */
#include "truth.h"

#include <arpa/inet.h>
#include <sys/socket.h>

int main(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);
	int fd = must(socket(AF_INET, SOCK_STREAM, 0), "socket");

	must(bind(fd, (struct sockaddr *)&at, size), "bind");
	must(getsockname(fd, (struct sockaddr *)&at, &size), "getsockname");
	printf("%d\n", ntohs(at.sin_port));
	return 0;
}
