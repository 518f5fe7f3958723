package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if a.format == formatJSON {
				return writeJSON(a.std.Out, map[string]string{
					"version": version, "commit": commit, "date": date,
					"go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
				})
			}
			fmt.Fprintf(a.std.Out, "upkeep %s", version)
			if commit != "" {
				fmt.Fprintf(a.std.Out, " (%s, %s)", commit, date)
			}
			fmt.Fprintf(a.std.Out, " %s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
	a.outputFlag(cmd)
	return cmd
}
