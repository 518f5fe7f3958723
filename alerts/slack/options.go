package slack

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/ghosteam/upkeep/alerts/internal/post"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// Options are the settings of a slack channel.
type Options struct {
	WebhookURL   secret.String `yaml:"webhook_url" doc:"Address of an incoming webhook; it belongs to one channel of Slack. Either this or token." example:"${file:secrets/slack}"`
	Token        secret.String `yaml:"token" doc:"Token of a bot with the scope chat:write, xoxb-…; it makes threads." example:"${file:secrets/slack-token}"`
	Channel      string        `yaml:"channel" doc:"Channel that the bot posts to, by its ID or its name; the bot must be a member." example:"C024BE91L"`
	Mention      unit.Names    `yaml:"mention" doc:"Who is called when a critical fault begins, or a fault becomes critical: here, channel, IDs of users (U…) and of groups (S…), at most 20." example:"[S0614TZR7]"`
	APIURL       string        `yaml:"api_url" doc:"Where Slack's Web API answers, for GovSlack and for tests." example:"https://slack-gov.com/api"`
	post.Options `yaml:",inline"`
}

func defaults() Options {
	return Options{APIURL: "https://slack.com/api", Options: post.Defaults()}
}

// Validate implements jobs.Validator.
func (o *Options) Validate() error {
	return errors.Join(o.way(), o.mentions(), o.Options.Validate())
}

const mostMentions = 20

// person matches the IDs of users, group those of groups.
var (
	person = regexp.MustCompile(`^[UW][A-Z0-9]{5,20}$`)
	group  = regexp.MustCompile(`^S[A-Z0-9]{5,20}$`)
)

func (o *Options) mentions() error {
	if len(o.Mention) > mostMentions {
		return jobs.Fieldf("mention", "%d are too many: at most %d", len(o.Mention), mostMentions)
	}
	var errs []error
	for i, name := range o.Mention {
		if mention(name) == "" {
			errs = append(errs, &jobs.FieldError{
				Field: fmt.Sprintf("mention[%d]", i), Why: fmt.Sprintf("%q is nobody that can be called", name),
				Hint: "write here, channel, or the ID of a user (U…) or a group (S…), which Slack shows in their profiles",
			})
		}
	}
	return errors.Join(errs...)
}

// mention is how Slack wants somebody to be called; empty for what it does not
// know.
func mention(name string) string {
	switch {
	case name == "here" || name == "channel":
		return "<!" + name + ">"
	case person.MatchString(name):
		return "<@" + name + ">"
	case group.MatchString(name):
		return "<!subteam^" + name + ">"
	}
	return ""
}

func (o *Options) way() error {
	token := o.Token.Reveal()
	switch {
	case !o.WebhookURL.IsEmpty() && token != "":
		return &jobs.FieldError{Field: "token", Why: "there is a webhook_url too", Hint: "keep the token for threads, or the webhook for separate messages"}
	case token == "" && o.WebhookURL.IsEmpty():
		return &jobs.FieldError{Field: "webhook_url", Why: "there is neither a webhook_url nor a token", Hint: "create an incoming webhook in Slack, or a bot with the scope chat:write"}
	case token == "" && o.Channel != "":
		return &jobs.FieldError{Field: "channel", Why: "a webhook has a channel of its own", Hint: "remove it, or use a token"}
	case token == "":
		return post.CheckURL("webhook_url", o.WebhookURL.Reveal(), false)
	case strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
		return &jobs.FieldError{Field: "token", Why: "it holds white space, a line end or a letter that is in no token", Hint: "keep it in a file with one line"}
	case o.Channel == "" || strings.ContainsFunc(o.Channel, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return &jobs.FieldError{Field: "channel", Why: "the bot must know where to post", Hint: "write the ID of the channel, which Slack shows at the end of its details, such as C024BE91L"}
	}
	return post.CheckURL("api_url", o.APIURL, false)
}
