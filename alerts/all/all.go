// Package all lists the kinds of channels.
package all

import (
	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/email"
	"github.com/ghosteam/upkeep/alerts/pagerduty"
	"github.com/ghosteam/upkeep/alerts/slack"
	"github.com/ghosteam/upkeep/alerts/webhook"
)

// Kinds returns every kind of channel, one line each.
func Kinds() []alerts.Kind {
	return []alerts.Kind{
		email.Kind(),
		pagerduty.Kind(),
		slack.Kind(),
		webhook.Kind(),
	}
}
