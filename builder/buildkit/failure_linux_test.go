package buildkit

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"dray/builder"
	"dray/pipeline"
	"dray/pipeline/event"
)

func TestFailures(t *testing.T) {
	l := useLab(t)
	at := pipeline.Pos{File: "Dockerfile", Line: 0, Column: 1}
	line := func(n int) pipeline.Pos { p := at; p.Line = n; return p }
	for _, tc := range []struct {
		name   string
		docker string
		change func(*builder.Request)
		at     pipeline.Pos
		reason string
		step   string
		output []string
		exit   int
		fault  string
		next   string
	}{
		{
			name: "no Dockerfile", change: func(r *builder.Request) { r.Target.Dockerfile = "Dockerfil" },
			at: pipeline.Pos{File: "dray.hcl", Line: 3}, reason: "no Dockerfile at Dockerfil: no such file or directory",
			next: `write it, or set dockerfile in target`,
		},
		{
			name: "no context", change: func(r *builder.Request) { r.Target.Context = "nowhere" },
			at: pipeline.Pos{File: "dray.hcl", Line: 3}, reason: "no context folder nowhere: no such file or directory",
			next: "make it, or name another one in target",
		},
		{
			name: "unknown instruction", docker: "FROM busybox\n\nCOPPY a b\n",
			at: line(3), reason: "unknown instruction: COPPY (did you mean COPY?)", fault: "COPPY a b",
		},
		{
			name: "failing step", docker: "FROM busybox\nRUN echo one; \\\n    echo two >&2; sh -c 'exit 7'\n",
			at: line(2), reason: "the command failed with exit code 7", exit: 7, output: []string{"one", "two"}, step: "[2/2] RUN echo one;     echo two >&2; sh -c 'exit 7'",
			fault: "RUN echo one; \\", next: "fix Dockerfile:2; dray build app tries it by itself",
		},
		{
			name: "missing file", docker: "FROM scratch\nCOPY nothing /\n",
			at: line(2), reason: `"/nothing": not found`, fault: "COPY nothing /", next: "check the path",
		},
		{
			name: "a secret without a value", docker: "FROM busybox\nRUN --mount=type=secret,id=token,required=true true\n",
			change: func(r *builder.Request) {
				r.Target.Secrets = []pipeline.BuildSecret{{ID: "token", Env: "DRAY_TEST_ABSENT"}}
			},
			at: line(2), reason: `secret "token" (target "app", dray.hcl:3) has no value: variable DRAY_TEST_ABSENT is not set`,
			next: `set DRAY_TEST_ABSENT, or name a file with src = "…" in secret of that target`,
		},
		{
			name: "a secret without its file", docker: "FROM busybox\nRUN --mount=type=secret,id=token,required=true true\n",
			change: func(r *builder.Request) { r.Target.Secrets = []pipeline.BuildSecret{{ID: "token", Src: "absent"}} },
			at:     line(2), reason: `secret "token" (target "app", dray.hcl:3) has no value: open `, next: "write absent, or name another file",
		},
		{
			name: "a secret that is not declared", docker: "FROM busybox\nRUN --mount=type=secret,id=token,required=true true\n",
			at: line(2), reason: `secret "token" (target "app", dray.hcl:3) is not declared`, next: `add { id = "token", env = "…" } to secret of that target`,
		},
		{
			name: "unknown base", docker: "FROM nosuchimage:1\n",
			at: line(1), reason: "nosuchimage", fault: "FROM nosuchimage:1",
		},
		{
			name: "a frontend that is not built in", docker: "# syntax=docker/dockerfile:1.7-labs\nFROM busybox\n",
			at: line(1), reason: "the Dockerfile frontend docker/dockerfile:1.7-labs could not be pulled", next: "check its name and the network, or write # syntax=docker/dockerfile:1 at Dockerfile:1",
		},
		{
			name: "the machine's network without leave", docker: "FROM busybox\nRUN true\nRUN --network=host true\n",
			at: line(3), reason: "RUN --network=host needs leave", fault: "RUN --network=host true", next: `write entitlements = ["network.host"] in target "app"`,
		},
		{
			name: "all rights without leave", docker: "FROM busybox\nRUN --security=insecure true\n",
			at: line(2), reason: "RUN --security=insecure needs leave", fault: "RUN --security=insecure true", next: `write entitlements = ["security.insecure"] in target "app"`,
		},
		{
			name: "a cache that is not built in", docker: "FROM busybox\n",
			change: func(r *builder.Request) { r.Target.CacheTo = []pipeline.CacheEntry{{Type: "gha"}} },
			at:     pipeline.Pos{File: "dray.hcl", Line: 3}, reason: "cache-to asks for a cache of type gha, which the embedded builder does not have; it has inline, local, registry", next: "take type=registry",
		},
		{
			name: "an annotation without a value", docker: "FROM busybox\n",
			change: func(r *builder.Request) { r.Target.Annotations = []string{"image:org.x=1"} },
			at:     pipeline.Pos{File: "dray.hcl", Line: 3}, reason: `annotation "image:org.x=1" is not KEY=VALUE`, next: `write it so in annotations of target "app"`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := project(t, map[string]string{"Dockerfile": tc.docker})
			if tc.change != nil {
				tc.change(&req)
			}
			_, err := l.client().Build(t.Context(), req, event.Discard)
			var f *builder.Failure
			if !errors.As(err, &f) {
				t.Fatalf("%T: %v", err, err)
			}
			t.Logf("%v\n%s", f, f.Detail())
			if f.At != tc.at || !strings.Contains(f.Reason, tc.reason) || f.ExitCode != tc.exit || f.Step != tc.step && tc.step != "" {
				t.Errorf("at %+v, reason %q, exit %d, step %q", f.At, f.Reason, f.ExitCode, f.Step)
			}
			if f.Next == "" || !strings.HasPrefix(f.Next, tc.next) {
				t.Errorf("next %q, want %q", f.Next, tc.next)
			}
			slices.Sort(f.Output)
			if !slices.Equal(f.Output, tc.output) {
				t.Errorf("output %q, want %q", f.Output, tc.output)
			}
			i := slices.IndexFunc(f.Source, func(s builder.SourceLine) bool { return s.Fault })
			if tc.fault != "" && (i < 0 || f.Source[i].Text != tc.fault) {
				t.Errorf("source %+v, want %q marked", f.Source, tc.fault)
			}
		})
	}
}

// TestWarning expects what the Dockerfile's checker finds with its place.
func TestWarning(t *testing.T) {
	l := useLab(t)
	req := project(t, map[string]string{"sub/Dockerfile": "FROM scratch as lower\nCOPY Dockerfile /\n"})
	req.Target.Context = "sub"
	var rec recorder
	if _, err := l.client().Build(t.Context(), req, &rec); err != nil {
		t.Fatal(err)
	}
	warnings := rec.of(event.Warning)
	if len(warnings) != 1 || !strings.HasPrefix(warnings[0].Text, "sub/Dockerfile:1: FromAsCasing") {
		t.Errorf("warnings: %+v", warnings)
	}
}
