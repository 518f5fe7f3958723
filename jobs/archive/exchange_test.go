package archive_test

import "golang.org/x/sys/unix"

// exchange swaps two names in one step.
func exchange(one, two string) error {
	return unix.Renameat2(unix.AT_FDCWD, one, unix.AT_FDCWD, two, unix.RENAME_EXCHANGE)
}
