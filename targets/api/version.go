package api

// BuildVersion is the version of dray that this binary belongs to. A release
// build sets it: -ldflags "-X dray/targets/api.BuildVersion=1.2.3".
var BuildVersion = "0.1.0-dev"
