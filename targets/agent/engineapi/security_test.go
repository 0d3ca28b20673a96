package engineapi

import (
	"reflect"
	"slices"
	"testing"

	"dray/pipeline"
)

func TestSecurityOptions(t *testing.T) {
	const profile = `{"defaultAction":"SCMP_ACT_ALLOW","x":"a:b=c"}`
	for name, tt := range map[string]struct {
		options []string
		want    pipeline.Security
		shown   []string
	}{
		"none":        {nil, pipeline.Security{}, []string{"no-new-privileges"}},
		"said":        {[]string{"no-new-privileges", "seccomp=builtin", "apparmor=dray-default"}, pipeline.Security{}, []string{"no-new-privileges"}},
		"privileges":  {[]string{"no-new-privileges:false"}, pipeline.Security{NewPrivileges: true}, []string{}},
		"unconfined":  {[]string{"seccomp=unconfined", "apparmor:unconfined"}, pipeline.Security{Seccomp: "unconfined", AppArmor: "unconfined"}, []string{"no-new-privileges", "seccomp=unconfined", "apparmor=unconfined"}},
		"own profile": {[]string{"seccomp=" + profile}, pipeline.Security{Seccomp: profile}, []string{"no-new-privileges", "seccomp=" + profile}},
	} {
		got, err := securityOf(tt.options)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, tt.want)
		}
		if shown := securityOptions(got); !slices.Equal(shown, tt.shown) {
			t.Errorf("%s: it is shown as %q, want %q", name, shown, tt.shown)
		}
	}
	for _, refused := range []string{"label=disable", "systempaths=unconfined", "no-new-privileges=perhaps", "apparmor="} {
		if got, err := securityOf([]string{refused}); err == nil {
			t.Errorf("%s was taken: %+v", refused, got)
		}
	}
}
