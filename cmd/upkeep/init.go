package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/jobs"
)

//go:embed starter.yaml
var starter string

func newInit(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a commented starter configuration for this machine",
		Long: `Write a commented starter configuration for this machine to FILE (default
upkeep.yaml, or what -c names). An existing file is never replaced unless --force is
given.`,
		Example: "  upkeep init\n  upkeep init /etc/upkeep/upkeep.yaml",
		RunE: func(_ *cobra.Command, given []string) error {
			path := "upkeep.yaml"
			if a.configPath != "" {
				path = a.configPath
			}
			if len(given) == 1 {
				path = given[0]
			}
			return a.init(path, force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace an existing file")
	return cmd
}

func (a *app) init(path string, force bool) error {
	if _, err := os.Lstat(path); err == nil && !force {
		return jobs.WithHint(usagef("%s exists already", path), "choose another name, or replace it with --force")
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write %s: %w", path, err)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	var text bytes.Buffer
	data := map[string]string{
		"Project": strconv.Quote(projectName(absolute)), "Timezone": zoneName(), "Self": strconv.Quote(filepath.Base(absolute)),
	}
	if err := template.Must(template.New("starter").Parse(starter)).Execute(&text, data); err != nil {
		return fmt.Errorf("fill the starter in: %w", err)
	}
	if err := renameio.WriteFile(path, text.Bytes(), 0o644); err != nil {
		// The error names a temporary file, which says nothing to anybody.
		if inner, ok := errors.AsType[*fs.PathError](err); ok {
			err = inner.Err
		}
		return jobs.WithHint(fmt.Errorf("write %s: %w", path, err), "the folder must exist and be writable for this user")
	}
	next := app{}
	if path != "upkeep.yaml" {
		next.configPath = path
	}
	fmt.Fprintf(a.std.Out, "wrote %s\n  check it: %s\n  run it:   %s\n", path, next.again("validate"), next.again("run daily"))
	return nil
}

// projectName is the name of the folder that the file lies in, or the host's
// for a folder whose name says nothing.
func projectName(file string) string {
	folder := filepath.Base(filepath.Dir(file))
	if host, err := os.Hostname(); err == nil && (folder == "/" || folder == "upkeep" || folder == "etc") {
		return host
	}
	return folder
}

// zoneName is the zone of this machine as the IANA database names it, UTC when
// it is not known.
func zoneName() string {
	if name := time.Local.String(); name != "Local" && name != "" {
		return name
	}
	target, err := filepath.EvalSymlinks("/etc/localtime")
	if err != nil {
		return "UTC"
	}
	_, name, ok := strings.Cut(target, "zoneinfo/")
	if !ok {
		return "UTC"
	}
	if _, err := time.LoadLocation(name); err != nil {
		return "UTC"
	}
	return name
}
