package buildkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/grpc/codes"

	"dray/builder"
	"dray/pipeline"
)

// around is how many lines before and after a faulty instruction are shown.
const around = 2

// failure says where and why a build failed, from what BuildKit attached to
// its error on the way.
func (c *Client) failure(ctx context.Context, req builder.Request, src *source, p *progress, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if grpcerrors.Code(err) == codes.Unavailable {
		return fmt.Errorf("building %s: the connection to the builder was lost: %w", req.Target.Name, err)
	}
	f := &builder.Failure{Target: req.Target.Name, Err: err, Reason: p.redact(plain(err))}
	for _, s := range errdefs.Sources(err) {
		if s.Info == nil || len(s.Ranges) == 0 {
			continue
		}
		locate(f, src, s)
	}
	var vertex *errdefs.VertexError
	if errors.As(err, &vertex) {
		f.Step, f.Output = p.ended(digest.Digest(vertex.Digest))
	}
	var exit *gatewaypb.ExitError
	if errors.As(err, &exit) {
		f.ExitCode = int(exit.ExitCode)
		f.Reason = fmt.Sprintf("the command failed with exit code %d", exit.ExitCode)
	}
	f.Next = advice(f)
	if needed := missingEntitlement(f.Reason); needed != "" {
		blameEntitlement(f, src, needed)
	}
	if image, _ := syntaxOf(src.path); image != "" && (!c.embedded || !isBuiltin(image)) && strings.Contains(err.Error(), image) {
		f.Reason = "the Dockerfile frontend " + image + " could not be pulled: " + f.Reason
		f.Next = fmt.Sprintf("check its name and the network, or write # syntax=docker/dockerfile:1 at %s:1, which needs no network: docker/dockerfile:1.%d is built in", src.dockerfile, builtinSyntax)
	}
	return f
}

// advice is the next thing to try: for reasons that come from somewhere else
// than where they appear, there; otherwise at the faulty line.
func advice(f *builder.Failure) string {
	reason := f.Reason
	switch {
	case strings.HasSuffix(reason, ": not found") && strings.HasPrefix(reason, `"/`):
		return "check the path, which starts at the context's folder, and .dockerignore"
	case strings.Contains(reason, "dial tcp") || strings.Contains(reason, "no such host"):
		return "check the network, or set a mirror for this registry"
	case strings.Contains(reason, "401 Unauthorized") || strings.Contains(reason, "authorization failed"):
		return "log in to the registry: dray reads the same credentials as docker login writes"
	}
	again := "dray build " + f.Target + " tries it by itself"
	if at := f.At.String(); at != "" {
		return "fix " + at + "; " + again
	}
	return again
}

// entitlementFlags are what a RUN says that needs leave.
var entitlementFlags = map[string]string{networkHost: "--network=host", securityInsecure: "--security=insecure"}

// missingEntitlement is the leave that a step asked for in vain, or "".
func missingEntitlement(reason string) string {
	for name := range entitlementFlags {
		if strings.Contains(reason, name+" is not allowed") {
			return name
		}
	}
	return ""
}

// blameEntitlement says which instruction asks for leave, and how it is given.
// BuildKit refuses the build as a whole.
func blameEntitlement(f *builder.Failure, src *source, name string) {
	flag := entitlementFlags[name]
	f.Reason = fmt.Sprintf("RUN %s needs leave", flag)
	f.Next = fmt.Sprintf(`write entitlements = [%q] in target %q, or take the flag away`, name, f.Target)
	data, err := os.ReadFile(src.path)
	if err != nil {
		return // it is with the builder: no line is known
	}
	parsed, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return
	}
	for _, node := range parsed.AST.Children {
		if slices.Contains(node.Flags, flag) {
			locate(f, src, &errdefs.Source{
				Info:   &pb.SourceInfo{Filename: src.filename, Data: data},
				Ranges: []*pb.Range{{Start: &pb.Position{Line: int32(node.StartLine)}, End: &pb.Position{Line: int32(node.EndLine)}}},
			})
			return
		}
	}
}

// locate sets the place in the Dockerfile and the lines around it.
func locate(f *builder.Failure, src *source, s *errdefs.Source) {
	lines := strings.Split(strings.TrimSuffix(string(s.Info.Data), "\n"), "\n")
	first, last := span(s.Ranges)
	if first < 1 || first > len(lines) {
		return
	}
	last = min(max(last, first), len(lines))
	name := s.Info.Filename
	if path.Base(name) == path.Base(src.filename) {
		name = src.dockerfile
	}
	f.At, f.EndLine, f.Source = pipeline.Pos{File: name, Line: first, Column: 1}, last, nil
	for n := max(1, first-around); n <= min(len(lines), last+around); n++ {
		f.Source = append(f.Source, builder.SourceLine{Number: n, Text: lines[n-1], Fault: n >= first && n <= last})
	}
}

func span(ranges []*pb.Range) (first, last int) {
	for i, r := range ranges {
		start, end := int(r.Start.Line), int(r.End.Line)
		if i == 0 || start < first {
			first = start
		}
		last = max(last, start, end)
	}
	return first, last
}

var noise = regexp.MustCompile(`^(failed to solve: |rpc error: code = \w+ desc = |dockerfile parse error on line \d+: |` +
	`process "[^\n]*" did not complete successfully: |failed to compute cache key: |failed to calculate checksum of ref \S+: |` +
	`failed to read dockerfile: )`)

// plain returns the message without what the place, the step and the exit code
// say already.
func plain(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	for {
		shorter := noise.ReplaceAllString(text, "")
		if shorter == text {
			return text
		}
		text = shorter
	}
}
