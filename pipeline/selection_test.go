package pipeline

import (
	"slices"
	"strings"
	"testing"
)

func TestSelect(t *testing.T) {
	targets := map[string]*Target{
		"_common": {Name: "_common"},
		"base":    {Name: "base", Inherits: []string{"_common"}},
		"web":     {Name: "web", Inherits: []string{"_common"}, Contexts: map[string]string{"base": "target:base"}},
		"debug":   {Name: "debug", Inherits: []string{"web"}},
	}
	services := map[string]*Service{"web": {Image: Image{Target: "web"}}}
	groups := map[string][]string{"all": {"web", "tools"}, "tools": {"debug", "web"}, "ring": {"ring"}}
	for name, x := range map[string]struct {
		project   Project
		names     []string
		want      string
		templates string
		fails     string
	}{
		"no default":                  {Project{Targets: targets, Services: services}, nil, "base debug web", "_common", ""},
		"a template that a group has": {Project{Targets: targets, Groups: map[string][]string{"x": {"_common"}}}, nil, "_common base debug", "web", ""},
		"the group default":           {Project{Targets: targets, Groups: map[string][]string{"default": {"web"}}}, nil, "web", "", ""},
		"a group of groups":           {Project{Targets: targets, Groups: groups}, []string{"all"}, "web debug", "", ""},
		"a group and a target":        {Project{Targets: targets, Groups: groups}, []string{"base", "tools"}, "base debug web", "", ""},
		"a template by its name":      {Project{Targets: targets}, []string{"_common"}, "_common", "", ""},
		"a group of itself":           {Project{Targets: targets, Groups: groups}, []string{"ring"}, "", "", `"ring" is a member of itself`},
		"an unknown name":             {Project{Targets: targets, Groups: groups}, []string{"wbe"}, "", "", `no target or group "wbe"`},
		"the target default":          {Project{Targets: map[string]*Target{"default": {}, "other": {}}}, nil, "default", "", ""},
		"no targets":                  {Project{}, nil, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := x.project.Select(x.names...)
			if x.fails != "" {
				if err == nil || !strings.Contains(err.Error(), x.fails) {
					t.Errorf("the error is %v, want %q", err, x.fails)
				}
				return
			}
			if err != nil || !slices.Equal(got.Targets, strings.Fields(x.want)) || !slices.Equal(got.Templates, strings.Fields(x.templates)) {
				t.Errorf("got %+v (%v), want %s without %s", got, err, x.want, x.templates)
			}
		})
	}
}
