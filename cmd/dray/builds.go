package main

import (
	"context"
	"os"
	"path/filepath"

	"dray/builder"
	"dray/builder/buildkit"
	"dray/builder/images"
	"dray/pipeline"
	"dray/pipeline/config"
	"dray/pipeline/secret"
	"dray/targets/api"
)

// builder builds the project's targets into the image store.
func (p *project) builder(noCache bool) *images.Builder {
	return &images.Builder{
		Images: p.images, NoCache: noCache, Leave: []string{config.LockFileName, secret.Folder},
		Connect: func(ctx context.Context) (builder.Builder, error) {
			return buildkit.Connect(ctx, p.app.builderOptions())
		},
	}
}

// builderOptions says which builder to use.
func (a *app) builderOptions() buildkit.Options {
	return buildkit.Options{
		Address: a.settings.Builder, TLS: a.settings.BuilderTLS,
		Images:   filepath.Join(a.settings.DataDir, "images"),
		Secrets:  a.secrets,
		Embedded: a.embedded(),
	}
}

// embedded says how this user's own builder runs.
func (a *app) embedded() buildkit.Embedded {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return buildkit.Embedded{
		Dir:     filepath.Join(a.settings.DataDir, "builder"),
		Command: []string{self, "builder", "serve"},
		Version: api.BuildVersion, Idle: pipeline.Duration(a.settings.BuilderIdle),
		Keep: pipeline.Bytes(a.settings.Keep.Bytes), KeepFor: pipeline.Duration(a.settings.Keep.Age), Mirrors: a.settings.Mirrors,
	}
}
