package pagerduty

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/internal/post"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
)

const (
	// keyLength is that of an integration key:
	// https://developer.pagerduty.com/docs/send-alert-event#parameters.
	keyLength = 32
	// mostLinks bounds how many links an event carries.
	mostLinks = 10

	addressUS = "https://events.pagerduty.com/v2/enqueue"
	addressEU = "https://events.eu.pagerduty.com/v2/enqueue"
	regionEU  = "eu"
)

// Options are the settings of a pagerduty channel.
type Options struct {
	IntegrationKey secret.String     `yaml:"integration_key" required:"true" doc:"Key of an integration of the type Events API v2, 32 characters." example:"${file:secrets/pagerduty}"`
	Severities     alerts.Severities `yaml:"severities" enum:"info,warning,critical" doc:"What pages: critical, warning, info; critical alone by default." example:"[warning, critical]"`
	Region         string            `yaml:"region" enum:"us,eu" doc:"Where the account is: us or eu."`
	Group          string            `yaml:"group" doc:"What the source belongs to, as PagerDuty shows it; the project, when it is not set." example:"production"`
	Changes        bool              `yaml:"changes" doc:"Tell of deploys, as change events."`
	Links          []Link            `yaml:"links" doc:"Links that every alert shows, at most 10."`
	URL            string            `yaml:"url" doc:"Where the API answers, instead of the region's address." example:"https://events.pagerduty.com/v2/enqueue"`
	post.Options   `yaml:",inline"`
}

// Link is shown with an alert.
type Link struct {
	Href string `yaml:"href" required:"true" doc:"The address." example:"https://wiki.example.com/ghosteam"`
	Text string `yaml:"text" doc:"What it says." example:"runbook"`
}

func defaults() Options {
	return Options{Severities: alerts.Severities{jobs.Critical}, Region: "us", Options: post.Defaults()}
}

// Validate implements jobs.Validator.
func (o *Options) Validate() error {
	errs := []error{o.Options.Validate()}
	key := o.IntegrationKey.Reveal()
	switch {
	case key == "":
		errs = append(errs, &jobs.FieldError{Field: "integration_key", Why: "it is empty", Hint: "is the variable or the file set that it comes from?"})
	case len(key) != keyLength || strings.ContainsFunc(key, notOfKey):
		errs = append(errs, &jobs.FieldError{
			Field: "integration_key", Why: fmt.Sprintf("it is not a key: those have %d letters and digits, this one has %d characters", keyLength, len(key)),
			Hint: "copy the Integration Key of an integration of the type Events API v2",
		})
	}
	if len(o.Severities) == 0 {
		errs = append(errs, jobs.Fieldf("severities", "nothing would ever page"))
	}
	if o.Region != "us" && o.Region != regionEU {
		errs = append(errs, jobs.Fieldf("region", "%q is neither us nor eu", o.Region))
	}
	if len(o.Links) > mostLinks {
		errs = append(errs, jobs.Fieldf("links", "%d are too many: at most %d", len(o.Links), mostLinks))
	}
	for i, link := range o.Links {
		if err := post.CheckURL(fmt.Sprintf("links[%d].href", i), link.Href, true); err != nil {
			errs = append(errs, err)
		}
	}
	if o.URL != "" {
		errs = append(errs, post.CheckURL("url", o.URL, false))
	}
	return errors.Join(errs...)
}

func notOfKey(c rune) bool {
	return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
}

// address returns where events go.
func (o *Options) address() string {
	region := addressUS
	if o.Region == regionEU {
		region = addressEU
	}
	return cmp.Or(o.URL, region)
}
