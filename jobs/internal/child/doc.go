// Package child runs child processes so that nothing escapes, leaks or lies.
//
// It knows how one command is started (exact environment, user, niceness,
// resource limits), how its whole tree of processes is found and ended, and
// when its output is complete. It refuses to know anything of upkeep: it
// imports nothing of ours, reads no configuration and logs nothing.
//
// # Nothing escapes
//
// Every command leads a session of its own. Where this process may make a
// cgroup (version 2, Linux 5.14 or newer, also in a hybrid tree) each command
// gets one, and the tree is what the kernel says is in it. Elsewhere this
// process becomes the subreaper of its descendants on the first command, and
// the tree is found in /proc: by descent, by session, by the environment marks of
// the command and, at its end, by the pipes it holds. An orphan that dropped all of
// these while several commands ran is ended when the last command that could
// have started it has ended.
//
// A context that ends sends TERM to the whole tree, and KILL after the grace
// time. Processes which outlive the main one are waited for shortly, ended,
// and counted in [Exit].Escaped. A child never outlives this process by more
// than its own descendants (PR_SET_PDEATHSIG): what a killed process left
// behind is found by [KillMarked].
//
// # Nothing leaks
//
// Zombies are reaped one by one, by process id, and only when they are known
// to be ours; wait4(-1) would steal the exit status of every other command.
// The rule that tells an adopted orphan from a child started elsewhere in this
// process is its session: while commands run, no other code in this process may
// start children with Setsid or such as leave daemons behind (a test that needs a
// server starts it before). Errors name argv[0] and never an argument, an
// environment value or a byte of input. On the first command the soft core limit
// of this process becomes zero: it holds the secrets it hands out, and its
// children inherit the limit without a race.
//
// # Nothing lies
//
// An exit status other than zero is an error. A reader made by [Output] gives
// io.EOF only after exit status 0, so a crashed producer cannot look complete.
// A failing input ends the command before it could take the cut for the end.
package child
