package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/health/doctor"
)

// lookAtConfig looks at the configuration: what is wrong with it, whether
// everything that it refers to can be opened, and who may read its files.
func (p *patient) lookAtConfig(context.Context) (doctor.Config, error) {
	c := doctor.Config{Path: p.path}
	if p.err != nil && p.problems == nil {
		c.Errors = append(c.Errors, p.err.Error())
	}
	for _, problem := range p.problems {
		text := problemLine(problem)
		switch {
		case problem.Rule == configs.RuleUnset:
			c.Unset = append(c.Unset, text)
		case problem.Severity == configs.Error:
			c.Errors = append(c.Errors, text)
		default:
			c.Warnings = append(c.Warnings, text)
		}
	}
	if p.path == "" {
		return c, nil
	}
	c.Files = p.files()
	if !p.whole {
		return c, nil
	}
	c.Project, c.Node, c.Digest = p.cfg.Project, p.cfg.Node, p.cfg.Digest()
	c.Holds, c.Unopened = p.holds(), p.unopened()
	return c, nil
}

// problemLine is a problem in one line, without the line of the file.
func problemLine(p configs.Problem) string {
	text := fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	if p.Line == 0 {
		text = fmt.Sprintf("%s: %s", p.File, p.Message)
	}
	if p.Hint != "" {
		text += " (" + p.Hint + ")"
	}
	return text
}

// files are the files of the configuration and those that it takes secrets
// from.
func (p *patient) files() []doctor.ConfigFile {
	var out []doctor.ConfigFile
	add := func(path string, secret bool) {
		f := doctor.ConfigFile{Path: path, Secret: secret}
		info, err := os.Stat(path)
		if err != nil {
			f.Error = err.Error()
		} else {
			f.Mode = info.Mode().Perm()
		}
		out = append(out, f)
	}
	var secrets []string
	for _, file := range p.configFiles() {
		add(file, false)
		secrets = append(secrets, doctor.References(p.text(file))...)
	}
	slices.Sort(secrets)
	for _, file := range slices.Compact(secrets) {
		add(p.absolute(file), true)
	}
	return out
}

// holds names what the configuration holds. Options are left out.
func (p *patient) holds() map[string][]string {
	out := map[string][]string{}
	add := func(family, name, kind string) { out[family] = append(out[family], name+": "+kind) }
	for _, s := range p.cfg.Stores {
		add("stores", s.Name, s.Kind)
	}
	for _, d := range p.cfg.Databases {
		add("databases", d.Name, d.Kind)
	}
	for _, c := range p.cfg.Checks {
		add("checks", c.Name, fmt.Sprintf("%s every %s, %s", c.Kind, c.Every, c.Impact))
	}
	for _, c := range p.cfg.Channels {
		if c.Settings.Disabled {
			c.Kind += ", not enabled"
		}
		add("channels", c.Name, c.Kind)
	}
	for _, w := range p.cfg.Workflows {
		var names []string
		for _, j := range w.Jobs {
			names = append(names, j.Name+" ("+j.Kind+")")
		}
		add("workflows", w.Name, strings.Join(names, ", "))
	}
	return out
}

// unopened says what cannot be opened: its secrets cannot be resolved, or do not
// make sense.
func (p *patient) unopened() map[string]string {
	out := map[string]string{}
	try := func(family, name string, open func() ([]string, error)) {
		secrets, err := open()
		p.secrets.Add(secrets...)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			out[family+" "+name] = explained(err)
		}
	}
	for _, s := range p.cfg.Stores {
		try("store", s.Name, func() ([]string, error) { _, secrets, err := p.cfg.OpenStore(s.Name); return secrets, err })
	}
	for _, d := range p.cfg.Databases {
		try("database", d.Name, func() ([]string, error) { _, secrets, err := p.cfg.OpenDatabase(d.Name); return secrets, err })
	}
	for _, c := range p.cfg.Channels {
		if c.Settings.Disabled {
			continue
		}
		try("channel", c.Name, func() ([]string, error) { _, secrets, err := p.cfg.OpenChannel(c.Name); return secrets, err })
	}
	return out
}
