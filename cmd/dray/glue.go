package main

import (
	"github.com/spf13/cobra"
)

func planCommand(a *app) *cobra.Command { return &cobra.Command{Use: "plan"} }
