/* Preloaded into ipvsadm: its netlink socket leads to the test, which plays the kernel, and names are those of the test.
 * No call reaches the kernel's IPVS, no resolver and no file of this machine is asked. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <linux/netlink.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

static int kernel = -1;

#define NEXT(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

int socket(int domain, int type, int protocol)
{
	int (*next)(int, int, int) = NEXT(int, "socket", int, int, int);
	struct sockaddr_un test = { .sun_family = AF_UNIX }, own = { .sun_family = AF_UNIX };
	const char *path = getenv("STAND_IN_KERNEL");
	const struct timeval patience = { .tv_sec = 20 };

	if (domain != AF_NETLINK)
		return next(domain, type, protocol);
	if (!path)
		abort();
	kernel = next(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	NEXT(int, "bind", int, const struct sockaddr *, socklen_t)(kernel, (struct sockaddr *)&own, sizeof(sa_family_t));
	/* A test that has ended does not answer. */
	setsockopt(kernel, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	strncpy(test.sun_path, path, sizeof(test.sun_path) - 1);
	if (connect(kernel, (struct sockaddr *)&test, sizeof(test)))
		abort();
	return kernel;
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	if (fd == kernel)
		return 0;
	return NEXT(int, "bind", int, const struct sockaddr *, socklen_t)(fd, address, length);
}

int getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
	struct sockaddr_nl own = { .nl_family = AF_NETLINK, .nl_pid = 1 };

	if (fd != kernel)
		return NEXT(int, "getsockname", int, struct sockaddr *, socklen_t *)(fd, address, length);
	memcpy(address, &own, sizeof(own));
	*length = sizeof(own);
	return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	if (fd == kernel)
		return 0;
	return NEXT(int, "setsockopt", int, int, int, const void *, socklen_t)(fd, level, name, value, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct msghdr bare = *message;

	bare.msg_name = NULL;
	bare.msg_namelen = 0;
	bare.msg_control = NULL;
	bare.msg_controllen = 0;
	return NEXT(ssize_t, "sendmsg", int, const struct msghdr *, int)(fd, fd == kernel ? &bare : message, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	struct sockaddr_nl from = { .nl_family = AF_NETLINK };
	void *name = message->msg_name;
	ssize_t length;

	if (fd == kernel) {
		message->msg_name = NULL;
		message->msg_namelen = 0;
	}
	length = NEXT(ssize_t, "recvmsg", int, struct msghdr *, int)(fd, message, flags);
	if (fd == kernel && name) {
		memcpy(name, &from, sizeof(from));
		message->msg_name = name;
		message->msg_namelen = sizeof(from);
	}
	return length;
}

/* The connections of the test in place of the kernel's. */
FILE *fopen(const char *path, const char *mode)
{
	const char *connections = getenv("STAND_IN_CONNECTIONS");

	if (connections && !strcmp(path, "/proc/net/ip_vs_conn"))
		path = connections;
	return NEXT(FILE *, "fopen", const char *, const char *)(path, mode);
}

static const struct { const char *address, *asked, *told; int family; } hosts[] = {
	{ "192.0.2.80", "www", "www.example.net", AF_INET },
	{ "192.0.2.81", "long", "host-with-a-long-name.example.net", AF_INET },
	{ "2001:db8::80", NULL, "six.example.net", AF_INET6 },
};

static const struct { const char *name, *protocol; int port; } services[] = {
	{ "http", "tcp", 80 },
	{ "domain", "tcp", 53 },
	{ "domain", "udp", 53 },
	{ "m3ua", "sctp", 2905 },
};

#define COUNT(table) (sizeof(table) / sizeof(table[0]))

static struct hostent *host(size_t place)
{
	static char address[16], *addresses[] = { address, NULL }, *aliases[] = { NULL };
	static struct hostent entry;

	inet_pton(hosts[place].family, hosts[place].address, address);
	entry.h_name = (char *)hosts[place].told;
	entry.h_aliases = aliases;
	entry.h_addrtype = hosts[place].family;
	entry.h_length = hosts[place].family == AF_INET ? 4 : 16;
	entry.h_addr_list = addresses;
	return &entry;
}

struct hostent *gethostbyname(const char *name)
{
	for (size_t place = 0; place < COUNT(hosts); place++)
		if (hosts[place].asked && !strcmp(hosts[place].asked, name))
			return host(place);
	return NULL;
}

struct hostent *gethostbyaddr(const void *address, socklen_t length, int family)
{
	for (size_t place = 0; place < COUNT(hosts); place++)
		if (hosts[place].family == family && !memcmp(host(place)->h_addr_list[0], address, length))
			return host(place);
	return NULL;
}

static struct servent *service(const char *name, int port, const char *protocol)
{
	static char *aliases[] = { NULL };
	static struct servent entry;

	for (size_t place = 0; place < COUNT(services); place++) {
		if (name ? strcmp(services[place].name, name) : services[place].port != port)
			continue;
		if (protocol && strcmp(services[place].protocol, protocol))
			continue;
		entry.s_name = (char *)services[place].name;
		entry.s_aliases = aliases;
		entry.s_port = htons(services[place].port);
		entry.s_proto = (char *)services[place].protocol;
		return &entry;
	}
	return NULL;
}

struct servent *getservbyname(const char *name, const char *protocol)
{
	return service(name, 0, protocol);
}

struct servent *getservbyport(int port, const char *protocol)
{
	return service(NULL, ntohs(port), protocol);
}
