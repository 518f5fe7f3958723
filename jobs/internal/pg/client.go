package pg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// Client is an installation of PostgreSQL's client programs.
type Client struct {
	// Dir is the folder of the programs.
	Dir string
	// Version is what they call themselves, such as "15.18".
	Version string
	// Major is its first number.
	Major int
}

// Program returns the path of one of the programs, such as "pg_dump".
func (c Client) Program(name string) string { return filepath.Join(c.Dir, name) }

// ClientError reports that no installed client can speak with a server.
type ClientError struct {
	// Program is what was looked for, and Major what it has to be at least.
	Program string
	Major   int
	// Found are the clients that are there, the newest first.
	Found []Client
}

// Error says what was found.
func (e *ClientError) Error() string {
	if len(e.Found) == 0 {
		return fmt.Sprintf("there is no %s on this machine", e.Program)
	}
	return fmt.Sprintf("the server is PostgreSQL %d, but the newest %s on this machine is %s (in %s), and an older one cannot read it",
		e.Major, e.Program, e.Found[0].Version, e.Found[0].Dir)
}

// Hint says what to install.
func (e *ClientError) Hint() string {
	return fmt.Sprintf("install the client programs of PostgreSQL %d (Debian: postgresql-client-%d), or name their folder in `client`", e.Major, e.Major)
}

// FindClient returns the client whose major version is major, or else the next
// higher one; a lower one is never taken. It looks into the folder named by
// override alone, when that is not empty, else into the folders of PATH in
// environ, and where packages put one folder for each version. All programs
// must be there.
func FindClient(ctx context.Context, environ []string, override string, major int, programs ...string) (Client, error) {
	folders := []string{override}
	if override == "" {
		folders = clientFolders(environ)
	}
	var found []Client
	for _, dir := range folders {
		c, err := inspect(ctx, environ, dir, programs)
		if err == nil {
			found = append(found, c)
		}
		if ctx.Err() != nil {
			return Client{}, fmt.Errorf("look for %s: %w", programs[0], context.Cause(ctx))
		}
		if err != nil && override != "" {
			return Client{}, fmt.Errorf("client folder %s: %w", override, err)
		}
	}
	slices.SortStableFunc(found, func(a, b Client) int { return b.Major - a.Major })
	best := -1
	for i, c := range found { // the newest first, so the last that fits is the closest
		if c.Major >= major && (best < 0 || c.Major < found[best].Major) {
			best = i
		}
	}
	if best < 0 {
		return Client{}, &ClientError{Program: programs[0], Major: major, Found: found}
	}
	return found[best], nil
}

// clientFolders lists the folders in which clients may be, each once.
func clientFolders(environ []string) []string {
	var folders []string
	for _, entry := range environ {
		if path, ok := strings.CutPrefix(entry, "PATH="); ok {
			folders = filepath.SplitList(path)
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/lib64/pgsql/bin", "/usr/libexec/postgresql*", "/usr/local/pgsql/bin",
		"/opt/homebrew/opt/postgresql*/bin", "/opt/postgresql/*/bin",
	} {
		// Patterns that are constants cannot be wrong.
		matches, _ := filepath.Glob(pattern)
		folders = append(folders, matches...)
	}
	var out []string
	for _, dir := range folders {
		if filepath.IsAbs(dir) && !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	return out
}

// versionLine is what `pg_dump --version` says, such as
// "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)" or "… 19devel".
var versionLine = regexp.MustCompile(`\(PostgreSQL\) ((\d+)\S*)`)

// inspectTime bounds how long a client may take to say its version.
const inspectTime = 10 * time.Second

// inspect looks at the programs of one folder.
func inspect(ctx context.Context, environ []string, dir string, programs []string) (Client, error) {
	for _, program := range programs {
		path := filepath.Join(dir, program)
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return Client{}, err
		}
		if info, err := os.Stat(target); err != nil || info.Mode()&0o111 == 0 || info.IsDir() {
			return Client{}, errors.Join(err, fmt.Errorf("%s is not a program", path))
		}
		if filepath.Base(target) == "pg_wrapper" {
			// Debian's wrapper picks a version by rules of its own.
			return Client{}, fmt.Errorf("%s is a wrapper", path)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, inspectTime, errors.New("it does not say its version"))
	defer cancel()
	var said strings.Builder
	cmd := child.Command{Argv: []string{filepath.Join(dir, programs[0]), "--version"}, Env: environ, Stdout: &said}
	if _, err := child.Run(ctx, cmd); err != nil {
		return Client{}, err
	}
	m := versionLine.FindStringSubmatch(said.String())
	if m == nil {
		return Client{}, fmt.Errorf("%s does not say which version of PostgreSQL it is", filepath.Join(dir, programs[0]))
	}
	major, err := strconv.Atoi(m[2])
	if err != nil {
		return Client{}, err
	}
	return Client{Dir: dir, Version: m[1], Major: major}, nil
}
