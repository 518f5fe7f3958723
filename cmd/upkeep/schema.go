package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
)

func newSchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration, for editors",
		Long: `Print the JSON Schema (draft 2020-12) of the configuration. Editors with a YAML
language server use it for completion and checks when the file starts with

  # yaml-language-server: $schema=upkeep.schema.json`,
		Example: "  upkeep schema > upkeep.schema.json",
		RunE: func(*cobra.Command, []string) error {
			text, err := configs.Schema(a.catalog())
			if err != nil {
				return err
			}
			if _, err := a.std.Out.Write(text); err != nil {
				return fmt.Errorf("write schema: %w", err)
			}
			return nil
		},
	}
}
