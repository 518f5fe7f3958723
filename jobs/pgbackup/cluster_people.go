package pgbackup

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// codeDuplicate is the code of an object that exists already.
const codeDuplicate = "42710"

// people makes on a throwaway server who and what the databases need: the roles
// of the backup, and tablespaces in folders of its own. Roles that the backup
// does not hold are made up.
func (r *drill) people(ctx context.Context, admin *pg.Conn, h *home) error {
	keys, err := crypt.Load(r.want.Identities...)
	if err != nil {
		return err
	}
	for _, g := range r.details.Globals {
		var text []byte
		err := artifact.Read(ctx, r.artifact, keys, g.Stream, func(plain io.Reader) (err error) {
			text, err = io.ReadAll(plain)
			return err
		})
		if err != nil {
			return fmt.Errorf("restore the roles: %w", err)
		}
		if err := r.roles(ctx, admin, string(text)); err != nil {
			return err
		}
	}
	var made []string
	for i := range r.details.Databases {
		for _, role := range r.details.Databases[i].Roles {
			_, err := admin.Exec(ctx, "CREATE ROLE "+pg.Name(role))
			if err == nil {
				made = append(made, role)
			} else if pg.Code(err) != codeDuplicate {
				return fmt.Errorf("make role %s: %w", role, err)
			}
		}
	}
	if len(made) > 0 {
		r.note("drill-roles", jobs.Warning, "the backup lacks roles that its databases need, so that a new server would need them from elsewhere: %s", strings.Join(made, ", "))
	}
	return r.tablespaces(ctx, admin, h)
}

// tablespaces makes those that the databases use.
func (r *drill) tablespaces(ctx context.Context, admin *pg.Conn, h *home) error {
	var names []string
	for i := range r.details.Databases {
		names = append(names, r.details.Databases[i].Tablespaces...)
	}
	slices.Sort(names)
	for i, name := range slices.Compact(names) {
		dir, err := h.tablespace(i)
		if err == nil {
			_, err = admin.Exec(ctx, fmt.Sprintf("CREATE TABLESPACE %s LOCATION %s", pg.Name(name), sqlText(dir)))
		}
		if err != nil {
			return fmt.Errorf("make tablespace %s: %w", name, err)
		}
	}
	return nil
}

// roles runs the statements of a backup's globals that concern roles. Whatever
// else is in them, above all tablespaces at their true places, is left out.
func (r *drill) roles(ctx context.Context, admin *pg.Conn, text string) error {
	var failed []string
	for _, statement := range statements(text) {
		if !slices.ContainsFunc([]string{"CREATE ROLE ", "ALTER ROLE ", "COMMENT ON ROLE ", "GRANT ", "SET "}, func(begin string) bool { return strings.HasPrefix(statement, begin) }) ||
			strings.HasPrefix(statement, "GRANT ") && strings.Contains(statement, " ON TABLESPACE ") {
			continue
		}
		_, err := admin.Exec(ctx, statement)
		switch code := pg.Code(err); {
		case err == nil, code == codeDuplicate:
		case code == "": // the connection
			return fmt.Errorf("restore the roles: %w", err)
		default:
			// Its text may hold the hash of a password.
			words := strings.Fields(statement)
			failed = append(failed, fmt.Sprintf("%s: %s", strings.Join(words[:min(len(words), 3)], " "), code))
		}
	}
	if len(failed) > 0 {
		r.note("drill-globals", jobs.Warning, "%d statements about roles failed on a new server, the first: %s", len(failed), failed[0])
	}
	return nil
}

// statements cuts the output of pg_dumpall into statements: at semicolons
// outside of quotes. Comments and the commands of psql, which begin with a
// backslash, are left out.
func statements(text string) []string {
	var out []string
	var current strings.Builder
	quote, escapes := byte(0), false
	for i := 0; i < len(text); i++ {
		c := text[i]
		lineStart := i == 0 || text[i-1] == '\n'
		switch {
		case quote != 0:
			current.WriteByte(c)
			if escapes && c == '\\' && i+1 < len(text) {
				i++
				current.WriteByte(text[i])
			} else if c == quote { // a doubled one opens again at once
				quote = 0
			}
		case lineStart && c == '\\' || c == '-' && strings.HasPrefix(text[i:], "--"):
			end := strings.IndexByte(text[i:], '\n')
			if end < 0 {
				end = len(text) - i
			}
			i += end - 1
		case c == ';':
			out = append(out, strings.TrimSpace(current.String()))
			current.Reset()
		default:
			if c == '\'' || c == '"' {
				quote = c
				escapes = c == '\'' && i > 0 && (text[i-1] == 'E' || text[i-1] == 'e')
			}
			current.WriteByte(c)
		}
	}
	if rest := strings.TrimSpace(current.String()); rest != "" {
		out = append(out, rest)
	}
	return out
}
