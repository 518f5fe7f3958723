package doctor

import (
	"context"
	"encoding/json"
	"time"
)

// What tests need of the package.
var (
	ParseStat     = parseStat
	ParsePressure = parsePressure
	ParseMounts   = parseMounts
	ParseLoad     = parseLoad
	ParseUptime   = parseUptime
	ParseKills    = parseKills
	ParseUnits    = parseUnits
	Keyed         = keyed
	CommandLine   = commandLine
	LastLines     = lastLines
	FieldName     = fieldName
)

// Text takes secrets out of a text.
func (s *Secrets) Text(text string) string { return s.redactor().text(text) }

// Lines takes secrets out of lines.
func (s *Secrets) Lines(list []string) []string { return s.redactor().lines(list) }

// Detailed looks closer at one process.
func (h Host) Detailed(pid int) Process { return h.detail([]Process{{PID: pid}}, h.users())[0] }

// Judge methods, by what they judge.
func (d Daemon) Judge() []Finding                           { return d.judge() }
func (l Ledger) Judge() []Finding                           { return l.judge() }
func (c Config) Judge() []Finding                           { return c.judge() }
func (a Activity) Judge() []Finding                         { return a.judge() }
func (u Unit) Judge() []Finding                             { return u.judge() }
func (m Memory) Judge() []Finding                           { return m.judge() }
func (c ClockState) Judge() []Finding                       { return c.judge(true) }
func (l LastRun) Judge(w Workflow, now time.Time) []Finding { return l.judge(w, now) }
func (s Step) Alone(ctx context.Context) (Found, error)     { return s.Look(ctx) }
func (r *Report) JSON() (string, error)                     { b, err := json.Marshal(r); return string(b), err }
