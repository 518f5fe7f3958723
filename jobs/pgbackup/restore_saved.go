package pgbackup

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// asSaved describes a database as the backup does, as far as the server has the
// roles and tablespaces for it. What cannot be carried over is told.
func (p *place) asSaved(ctx context.Context, r *restore) (likeness, error) {
	l := likeness{Properties: r.database.Properties, owner: p.admin.Server.User}
	roles, err := pg.Texts(ctx, p.admin, `SELECT rolname::text FROM pg_roles`)
	if err != nil {
		return l, pg.Advise(fmt.Errorf("look for roles: %w", err))
	}
	there := func(role string) bool {
		return slices.Contains(roles, role) || slices.Contains(r.promised, "roles "+role)
	}
	switch {
	case r.target.NoOwner:
	case there(l.Owner):
		l.owner = l.Owner
	default:
		r.tell("owner", "the database belongs to %s, because there is no role %s", l.owner, l.Owner)
	}
	tablespaces, err := pg.Texts(ctx, p.admin, `SELECT spcname::text FROM pg_tablespace`)
	if err != nil {
		return l, pg.Advise(fmt.Errorf("look for tablespaces: %w", err))
	}
	if !slices.Contains(tablespaces, l.Tablespace) {
		l.Tablespace = ""
	}
	var left []string
	for _, text := range r.database.Settings {
		s, ok := readSetting(text)
		if !ok || s.Role != "" && !there(s.Role) {
			left = append(left, text)
			continue
		}
		l.settings = append(l.settings, s)
	}
	r.tellSettings(left)
	if r.database.Granted && !r.target.NoPrivileges {
		l.granted = true
		l.grants = p.grantsFor(r, l.owner, there)
	}
	return l, nil
}

// grantsFor returns the saved privileges of the roles that are there; those of
// the old owner are the new one's.
func (p *place) grantsFor(r *restore, owner string, there func(role string) bool) []Grant {
	var grants, left []Grant
	for _, g := range r.database.Grants {
		switch {
		case g.Public:
		case g.Role == r.database.Owner:
			g.Role = owner
		case !there(g.Role):
			left = append(left, g)
			continue
		}
		grants = append(grants, g)
	}
	if len(left) > 0 {
		r.warn("privileges", "privileges on the database were not granted, because the server lacks the roles: %s", grantees(left))
	}
	return grants
}

// grantsOn returns the privileges on a database that were granted.
func grantsOn(ctx context.Context, c *pg.Conn, database string) ([]Grant, error) {
	return pg.Rows[Grant](ctx, c, `SELECT CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END, a.grantee = 0, a.privilege_type, bool_or(a.is_grantable)
		FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = $1 GROUP BY 1, 2, 3 ORDER BY 2 DESC, 1, 3`, database)
}

// grantees says who has which privileges, such as "app: CONNECT, TEMPORARY".
func grantees(grants []Grant) string {
	var names []string
	held := map[string][]string{}
	for _, g := range grants {
		name := pg.Name(g.Role)
		if g.Public {
			name = "everybody"
		}
		if held[name] == nil {
			names = append(names, name)
		}
		held[name] = append(held[name], g.Privilege)
	}
	for i, name := range names {
		names[i] = name + ": " + strings.Join(held[name], ", ")
	}
	return jobs.OneLine(strings.Join(names, "; "))
}

// settingPattern is a setting in a manifest: the role as quote_ident writes it,
// if any, the name, and the value.
var settingPattern = regexp.MustCompile(`(?s)^(?:("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*): )?([A-Za-z_][A-Za-z0-9_$.]*)=(.*)$`)

// readSetting reads a setting of a manifest; it is not ok when its value was
// left out.
func readSetting(text string) (setting, bool) {
	m := settingPattern.FindStringSubmatch(text)
	if m == nil || strings.Contains(m[2], ".") {
		return setting{}, false
	}
	role := m[1]
	if strings.HasPrefix(role, `"`) {
		role = strings.ReplaceAll(role[1:len(role)-1], `""`, `"`)
	}
	return setting{Role: role, Setting: m[2] + "=" + m[3]}, true
}
