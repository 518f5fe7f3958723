package pgbackup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// likeness is what a new database is made to be like.
type likeness struct {
	Properties
	// exists tells that it is the target as it is.
	exists   bool
	owner    string
	comment  *string
	template bool
	// settings are those of the database and of roles in it; grants are who may
	// do what, which is the default unless granted.
	settings []setting
	grants   []Grant
	granted  bool
}

// setting is one setting of a database, or of a role in it.
type setting struct{ Role, Setting string }

// asOld describes the target as it is.
func (p *place) asOld(ctx context.Context) (likeness, error) {
	l := likeness{exists: true}
	c := p.admin
	err := c.QueryRow(ctx, `SELECT pg_get_userbyid(datdba)::text, pg_encoding_to_char(encoding), datcollate::text, datctype::text,
			coalesce(to_jsonb(d) ->> 'datlocprovider', ''), coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', ''),
			(SELECT spcname::text FROM pg_tablespace t WHERE t.oid = d.dattablespace), datconnlimit, datistemplate,
			shobj_description(oid, 'pg_database'), datacl IS NOT NULL
		FROM pg_database d WHERE datname = $1`, p.name).
		Scan(&l.owner, &l.Encoding, &l.Collate, &l.CType, &l.LocaleProvider, &l.Locale, &l.Tablespace, &l.ConnectionLimit, &l.template, &l.comment, &l.granted)
	if err != nil {
		return l, pg.Advise(fmt.Errorf("describe the target: %w", err))
	}
	if m, ok := readMark(l.comment); ok {
		l.comment = m.Comment
	}
	l.settings, err = pg.Rows[setting](ctx, c, `SELECT CASE WHEN setrole = 0 THEN '' ELSE pg_get_userbyid(setrole)::text END, setting
		FROM pg_db_role_setting, unnest(setconfig) setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = $1) ORDER BY 1, 2`, p.name)
	if err != nil {
		return l, pg.Advise(fmt.Errorf("read the settings of the target: %w", err))
	}
	l.grants, err = grantsOn(ctx, c, p.name)
	if err != nil {
		return l, pg.Advise(fmt.Errorf("read the privileges on the target: %w", err))
	}
	return l, nil
}

// create makes a database: from template0, so that nothing is in it.
func (l likeness) create(name string, major int) statement {
	text := fmt.Sprintf("CREATE DATABASE %s TEMPLATE template0 ENCODING %s LC_COLLATE %s LC_CTYPE %s", pg.Name(name), literal(l.Encoding), literal(l.Collate), literal(l.CType))
	if major >= 15 && l.Locale != "" {
		switch l.LocaleProvider {
		case "i":
			text += " LOCALE_PROVIDER icu ICU_LOCALE " + literal(l.Locale)
		case "b":
			text += " LOCALE_PROVIDER builtin BUILTIN_LOCALE " + literal(l.Locale)
		}
	}
	if l.Tablespace != "" && l.Tablespace != "pg_default" {
		text += " TABLESPACE " + pg.Name(l.Tablespace)
	}
	return statement{text: text}
}

// dress gives the new database what belongs to a database itself.
func (p *place) dress(ctx context.Context, r *restore, l likeness) error {
	name := pg.Name(p.fresh)
	var all []statement
	if l.owner != p.admin.Server.User {
		all = append(all, plain("ALTER DATABASE %s OWNER TO %s", name, pg.Name(l.owner)))
	}
	all = append(all, l.privileges(name)...)
	if l.ConnectionLimit >= 0 {
		all = append(all, plain("ALTER DATABASE %s CONNECTION LIMIT %d", name, l.ConnectionLimit))
	}
	for _, s := range all {
		if err := p.do(ctx, p.admin, s); err != nil {
			return err
		}
	}
	for _, s := range l.settings {
		st, key := s.statement(name)
		err := p.do(ctx, p.admin, st)
		if pg.Code(err) == pg.CodeDenied {
			r.warn("setting:"+jobs.FindingIDFrom(key), "the setting %s of the old database could not be carried over, because only a superuser may set it", key)
			continue
		}
		if pg.Code(err) != "" && !l.exists { // another server may not know it
			r.warn("setting:"+jobs.FindingIDFrom(key), "the setting %s of the saved database could not be carried over: %v", key, err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// privileges grants what was granted.
func (l likeness) privileges(name string) []statement {
	if !l.granted {
		return nil
	}
	all := []statement{
		plain("REVOKE ALL ON DATABASE %s FROM PUBLIC", name),
		plain("REVOKE ALL ON DATABASE %s FROM %s", name, pg.Name(l.owner)),
	}
	for _, g := range l.grants {
		who, option := pg.Name(g.Role), ""
		if g.Public {
			who = "PUBLIC"
		}
		if g.Grantable {
			option = " WITH GRANT OPTION"
		}
		all = append(all, plain("GRANT %s ON DATABASE %s TO %s%s", g.Privilege, name, who, option))
	}
	return all
}

// lists are the settings of which the values are lists of names, kept as text
// with their quotes (GUC_LIST_QUOTE in PostgreSQL's guc_tables.c).
//
//nolint:gochecknoglobals // a constant that Go cannot spell
var lists = []string{
	"local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
}

// statement sets the same for another database. What applications keep in
// settings of their own may be secret and is not shown.
func (s setting) statement(database string) (_ statement, key string) {
	key, value, _ := strings.Cut(s.Setting, "=")
	on := "ALTER DATABASE " + database
	if s.Role != "" {
		on = fmt.Sprintf("ALTER ROLE %s IN DATABASE %s", pg.Name(s.Role), database)
	}
	on += " SET " + pg.Name(strings.Split(key, ".")...) + " TO "
	text := literal(value)
	if slices.Contains(lists, strings.ToLower(key)) {
		text = literalList(value)
	}
	out := statement{text: on + text}
	if strings.Contains(key, ".") {
		out.show = on + "'…'"
	}
	return out, key
}

// literalList turns a list of names, quoted where need be, into one of
// literals.
func literalList(value string) string {
	var out []string
	var name strings.Builder
	quoted, some := false, false
	flush := func() {
		if some {
			out = append(out, literal(name.String()))
		}
		name.Reset()
		some = false
	}
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"' && quoted && i+1 < len(value) && value[i+1] == '"':
			name.WriteByte('"')
			i++
		case c == '"':
			quoted, some = !quoted, true
		case !quoted && c == ',':
			flush()
		case !quoted && c == ' ':
		default:
			name.WriteByte(c)
			some = true
		}
	}
	flush()
	if len(out) == 0 {
		return "''"
	}
	return strings.Join(out, ", ")
}
