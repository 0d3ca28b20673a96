//go:build linux

// A container's pid 1 where its service asks for init = true: it starts the
// program, passes on every signal that comes to it, reaps what the program
// leaves, and ends as the program ends.
//
// It is C, and runs before the Go runtime: a Go program would cost each such
// container some megabytes and threads for a loop of two system calls. It is
// part of this binary because there is one for each architecture already.

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// Signals that a fault of our own raises. They can't be passed on.
static const int faults[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS };

static void become(char **argv, const sigset_t *mask)
{
	// A group of its own, in front of the terminal if there is one: Ctrl-C is the
	// program's, and reaches it once.
	setpgid(0, 0);
	if (isatty(STDIN_FILENO))
		tcsetpgrp(STDIN_FILENO, getpid());
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[0], argv);
	int failed = errno;
	dprintf(STDERR_FILENO, "starting %s: %s\n", argv[0], strerror(failed));
	_exit(failed == ENOENT ? 127 : 126);
}

// reap takes the ends of all children that have ended, and returns the code of
// the program once it has; -1 until then.
static int reap(pid_t program)
{
	int status, code = -1;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == program)
			code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
	return code;
}

static void supervise(char **argv)
{
	sigset_t all, before;

	sigfillset(&all);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&all, faults[i]);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t program = fork();
	if (program < 0) {
		dprintf(STDERR_FILENO, "starting %s: %s\n", argv[0], strerror(errno));
		_exit(126);
	}
	if (program == 0)
		become(argv, &before);
	for (;;) {
		int signal = sigwaitinfo(&all, NULL);
		if (signal == SIGCHLD) {
			int code = reap(program);
			if (code >= 0)
				_exit(code);
		} else if (signal > 0) {
			kill(program, signal);
		}
	}
}

__attribute__((constructor(101))) static void pid1(int argc, char **argv)
{
	static const char name[] = "/dev/dray-init";

	if (argc > 1 && argv[0] != NULL && strcmp(argv[0], name) == 0)
		supervise(argv + 1);
}
