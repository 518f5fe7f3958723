package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/term"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

func newToken(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Let programs and people use the API and the pages",
		Long: `Let programs and people use the API and the pages over TCP. A token has a role: a
viewer reads, an operator also acts on runs, workflows, incidents and notices, an
admin also on the service itself, its log and tokens. It is shown once; what is kept
of it is a hash.

Programs send it as "Authorization: Bearer TOKEN", this one reads it from the file of
--token-file, and people type it at /login. Users with passwords stand in the
configuration, under web: users.`,
		Example: "  upkeep token create ci --role operator --expires 90d\n  upkeep token list\n  upkeep token revoke ci",
	}
	return withCommands(cmd, newTokenCreate(a), newTokenList(a), newTokenRevoke(a), newTokenHash(a))
}

// accessKeeper keeps the tokens and the audit: the process that holds the
// ledger, or this one on the ledger itself.
type accessKeeper interface {
	Tokens(ctx context.Context) ([]runner.Token, error)
	CreateToken(ctx context.Context, r api.TokenRequest) (api.TokenMade, error)
	RevokeToken(ctx context.Context, nameOrID string) (runner.Token, error)
	Actions(ctx context.Context, f runner.ActionFilter) ([]runner.Action, error)
}

// onAccess has something done about tokens by the process that holds the
// ledger, or by this one when there is none.
func (a *app) onAccess(ctx context.Context, command string, do func(context.Context, accessKeeper) error) error {
	cfg, c, err := a.configOrHolder(ctx)
	if err != nil {
		return err
	}
	if c != nil {
		return do(ctx, c)
	}
	return a.onLedgerOf(ctx, cfg, command, func(ctx context.Context, l *ledger.Ledger) error { return do(ctx, accessOnLedger{l}) })
}

// accessOnLedger works on the ledger itself, and records that in the audit.
type accessOnLedger struct{ *ledger.Ledger }

// audit records what whoever types did here.
func (l accessOnLedger) audit(ctx context.Context, what, subject string) error {
	return acted(ctx, l, what, subject, nil)
}

// CreateToken makes a token.
func (l accessOnLedger) CreateToken(ctx context.Context, r api.TokenRequest) (api.TokenMade, error) {
	made, err := web.MakeToken(ctx, l.Ledger, r, whoAmI())
	return made, acted(ctx, l, "create-token", r.Name, err)
}

// RevokeToken takes a token back.
func (l accessOnLedger) RevokeToken(ctx context.Context, nameOrID string) (runner.Token, error) {
	t, err := l.Ledger.RevokeToken(ctx, nameOrID, whoAmI())
	return t, acted(ctx, l, "revoke-token", cmp.Or(t.Name, nameOrID), err)
}

// grantable are the roles that somebody can be given.
func grantable() []runner.Role {
	return []runner.Role{runner.RoleViewer, runner.RoleOperator, runner.RoleAdmin}
}

func newTokenCreate(a *app) *cobra.Command {
	var role runner.Role
	var expires string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token and show it, once",
		Long: `Make a token and write it to standard output, once; nobody can look it up later. NAME
is that of who will use it, and stands in the record of what they do. At most one
token of a name is in use. --expires takes a duration (90d), a date or an instant.`,
		Example:           "  upkeep token create anna --role admin\n  upkeep token create ci --role operator --expires 90d > ci.token",
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.createToken(cmd.Context(), api.TokenRequest{Name: given[0], Role: role}, expires)
		},
	}
	a.outputFlag(cmd)
	cmd.Flags().Var(oneOf(&role, grantable()...), "role", "what it allows: viewer, operator or admin (required)")
	cmd.Flags().StringVar(&expires, "expires", "", "from `WHEN` on it counts no more; by default it counts until it is revoked")
	completeFlag(cmd, "role", completeWords(grantable()))
	return cmd
}

func (a *app) createToken(ctx context.Context, r api.TokenRequest, expires string) error {
	now := time.Now()
	if r.Role == "" {
		return jobs.WithHint(usagef("a token needs a role"), "add --role viewer, operator or admin")
	}
	until, err := parseUntil(expires, time.Local, now)
	if err != nil {
		return usagef("--expires %q is neither a duration (90d), nor a date (2026-12-01), nor an instant (2026-12-01T08:00:00Z)", expires)
	}
	if !until.IsZero() && !until.After(now) {
		return usagef("--expires %q has passed", expires)
	}
	r.ExpiresAt = api.Instant(until)
	return a.onAccess(ctx, "upkeep token create", func(ctx context.Context, k accessKeeper) error {
		made, err := k.CreateToken(ctx, r)
		if err != nil && made.Text == "" {
			return err
		}
		if a.format != formatTable {
			l := listing{columns: []string{"NAME", "ROLE", "EXPIRES", "TOKEN"}, data: made}
			l.rows = [][]string{{made.Name, string(made.Role), stamp(until), made.Text}}
			return errors.Join(a.list(l), err)
		}
		fmt.Fprintln(a.std.Out, made.Text)
		fmt.Fprintf(a.std.Err, "%s is %s %s; the token is not shown again\ntake it back: %s\n", made.Name, made.Role, lasting(until), a.again("token revoke "+made.Name))
		return err
	})
}

// lasting says until when something holds.
func lasting(until time.Time) string {
	if until.IsZero() {
		return "until it is revoked"
	}
	return "until " + stamp(until)
}

func newTokenList(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the tokens",
		Long:    "List the tokens in use by name, with when each was last used, to about an hour; --all adds those that were revoked or have expired.",
		Example: "  upkeep token list\n  upkeep token list --all -o json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.listTokens(cmd.Context(), all) },
	}
	a.outputFlag(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "also those that count no more")
	return cmd
}

func (a *app) listTokens(ctx context.Context, all bool) error {
	return a.onAccess(ctx, "upkeep token list", func(ctx context.Context, k accessKeeper) error {
		list, err := k.Tokens(ctx)
		if err != nil {
			return err
		}
		now := time.Now()
		l := listing{columns: []string{"NAME", "ROLE", "STATE", "LAST USED", "MADE", "BY", "ID"}, empty: "there are no tokens; `upkeep token create` makes one"}
		views := []api.Token{}
		for _, t := range list {
			if !all && !t.Valid(now) {
				continue
			}
			views = append(views, api.NewToken(t, now))
			l.rows = append(l.rows, []string{t.Name, string(t.Role), tokenState(t, now), stamp(t.UsedAt), stamp(t.CreatedAt), t.By, t.ID})
		}
		l.data = views
		return a.list(l)
	})
}

// tokenState says whether a token counts, and until when.
func tokenState(t runner.Token, now time.Time) string {
	switch {
	case !t.RevokedAt.IsZero() && t.RevokedBy == "":
		return "expired " + stamp(t.ExpiresAt)
	case !t.RevokedAt.IsZero():
		return "revoked " + stamp(t.RevokedAt)
	case !t.Valid(now):
		return "expired " + stamp(t.ExpiresAt)
	case t.ExpiresAt.IsZero():
		return "in use"
	}
	return "until " + stamp(t.ExpiresAt)
}

func newTokenRevoke(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "revoke TOKEN",
		Short:             "Take a token back",
		Long:              "Take a token back: it counts no more from now on, and what it was shown for as a stream ends within seconds. TOKEN is the name of one in use, or its ID.",
		Example:           "  upkeep token revoke ci",
		ValidArgsFunction: a.completeTokens,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.onAccess(cmd.Context(), "upkeep token revoke", func(ctx context.Context, k accessKeeper) error {
				t, err := k.RevokeToken(ctx, given[0])
				switch {
				case errors.Is(err, runner.ErrNotFound):
					return hintIfNone(&notFoundError{err: fmt.Errorf("there is no token %q in use", given[0])}, "`upkeep token list` lists the tokens")
				case err != nil:
					return err
				}
				fmt.Fprintf(a.std.Out, "the token %s is revoked\n", t.Name)
				return nil
			})
		},
	}
}

// completeTokens offers the names of the tokens in use.
func (a *app) completeTokens(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if len(given) == 0 {
		// Without an answer nothing is offered.
		_ = a.onAccess(cmd.Context(), "upkeep token revoke", func(ctx context.Context, k accessKeeper) error {
			list, err := k.Tokens(ctx)
			for _, t := range list {
				if t.Valid(time.Now()) {
					names = append(names, t.Name+"\t"+string(t.Role))
				}
			}
			return err
		})
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

const (
	// hashCost is the cost of bcrypt: about a quarter of a second.
	hashCost = 12
	// shortestPassword and longestPassword bound passwords in bytes; bcrypt
	// takes no longer ones.
	shortestPassword = 8
	longestPassword  = 72
)

func newTokenHash(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "hash",
		Short: "Hash a password for a user of the configuration",
		Long: `Ask for a password, or read it from standard input when that is no terminal, and write
its hash (bcrypt), for web: users: NAME: password_hash in the configuration. It is the
same that htpasswd -nB makes.`,
		Example: "  upkeep token hash\n  pass show upkeep/anna | upkeep token hash > secrets/anna.bcrypt",
		RunE:    func(*cobra.Command, []string) error { return a.hashPassword() },
	}
}

func (a *app) hashPassword() error {
	password, err := a.askPassword()
	if err != nil {
		return fmt.Errorf("read the password: %w", err)
	}
	switch {
	case len(password) < shortestPassword:
		return usagef("the password is shorter than %d characters", shortestPassword)
	case len(password) > longestPassword:
		return usagef("the password is longer than %d bytes, more than bcrypt takes", longestPassword)
	}
	hash, err := bcrypt.GenerateFromPassword(password, hashCost)
	if err != nil {
		return fmt.Errorf("hash the password: %w", err)
	}
	fmt.Fprintln(a.std.Out, string(hash))
	return nil
}

// askPassword reads a password without showing it; what is piped in ends with
// its first line.
func (a *app) askPassword() ([]byte, error) {
	if f, ok := a.std.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(a.std.Err, "password: ")
		password, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.std.Err)
		return password, err
	}
	const most = 4 << 10
	text, err := io.ReadAll(io.LimitReader(a.std.In, most))
	line, _, _ := strings.Cut(string(text), "\n")
	return []byte(strings.TrimSuffix(line, "\r")), err
}
