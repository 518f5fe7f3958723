package artifact

import "github.com/ghosteam/upkeep/jobs/internal/child"

// Process names this process for what others may find when it is dead: in a
// store, on a server. It is empty when the system does not say who we are.
func Process() string {
	self, err := child.Self()
	if err != nil {
		return ""
	}
	// The number of the machine is not for others to read (machine-id(5)), and
	// without it a host of the same name is never taken for this one.
	self.Machine = "-"
	return self.String()
}

// Dead tells whether a process, as Process named it, is certainly dead: it ran
// since the last start of this host and in this container, and is no more.
// Whatever cannot be seen from here counts as alive.
func Dead(process string) bool {
	id, err := child.ParseIdentity(process)
	if err != nil {
		return false
	}
	alive, err := child.Alive(id)
	return err == nil && !alive
}
