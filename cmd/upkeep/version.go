package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// versionView is the JSON form of the version.
type versionView struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Date     string `json:"date"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this binary",
		Example: "  upkeep version -o json",
		RunE: func(*cobra.Command, []string) error {
			if a.format == formatTable {
				fmt.Fprintln(a.std.Out, versionLine())
				return nil
			}
			v := versionView{Version: version, Commit: commit, Date: date, Go: runtime.Version(), Platform: platform()}
			return a.list(listing{
				columns: []string{"VERSION", "COMMIT", "DATE", "GO", "PLATFORM"},
				rows:    [][]string{{v.Version, v.Commit, v.Date, v.Go, v.Platform}},
				data:    v,
			})
		},
	}
	a.outputFlag(cmd)
	return cmd
}

func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }

// versionLine tells the version in one line.
func versionLine() string {
	source := ""
	if commit != "" {
		source = fmt.Sprintf(" (%s, %s)", commit, date)
	}
	return fmt.Sprintf("upkeep %s%s %s %s", version, source, runtime.Version(), platform())
}
