package usage

import (
	"strings"

	"github.com/spf13/cobra"
)

// columns is how wide help may be.
const columns = 80

// exitCodes is what dray help exit-codes shows.
const exitCodes = `dray ends with one of these codes:

  0    done
  1    failed, nothing changed
  2    plan: there is a difference
  3    failed and reverted
  4    failed and not fully reverted; it says which hosts
  5    refused: by a gate, a lock, missing evidence, or for want of a yes
  130  interrupted; it says what state things are in

exec, run and task run end with the code of the command that they ran.`

// helpTemplate is cobra's for verbs. Help of dray itself is one screen: all verbs,
// and where the rest stands.
const helpTemplate = `{{if .HasParent}}{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}{{if or .Runnable .HasSubCommands}}{{.UsageString}}{{end}}{{else}}{{.Short}}
{{range $group := .Groups}}
{{.Title}}{{range $.Commands}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}

More: dray help VERB, dray help flags (of every verb), dray help exit-codes
{{end}}`

// usageTemplate is cobra's, without a line for a verb that only holds others,
// and without the flags that every verb has.
func usageTemplate(c *cobra.Command) string {
	text := strings.Replace(c.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1)
	begin := strings.Index(text, "{{if .HasAvailableInheritedFlags}}")
	end := strings.Index(text, "{{if .HasHelpSubCommands}}")
	if begin < 0 || end < begin {
		return text // another cobra: all flags are better than none
	}
	return text[:begin] + "{{if .HasAvailableInheritedFlags}}\n\nFlags of every verb: dray help flags{{end}}" + text[end:]
}

// addTopics adds what dray help tells of that is no verb.
func addTopics(root *cobra.Command) {
	flags := "These flags go with every verb. Each is a setting, too: DRAY_NAME in the\n" +
		"environment, or name in the configuration file ($DRAY_CONFIG, or config.yaml in\n" +
		"$XDG_CONFIG_HOME/dray); file, var and var-file are flags only.\n\n" + root.PersistentFlags().FlagUsagesWrapped(columns)
	root.AddCommand(
		&cobra.Command{Use: "flags", Short: "The flags of every verb", Long: flags},
		&cobra.Command{Use: "exit-codes", Short: "What dray's exit codes say", Long: exitCodes},
	)
}
