package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"time"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"dray/pipeline"
)

// Docker's defaults of a HEALTHCHECK, where it leaves them out.
const (
	imageInterval = 30 * time.Second
	imageTimeout  = 30 * time.Second
	imageRetries  = 3
)

// checkOf is the check of a container: its Spec's, or the HEALTHCHECK of its
// image where the Spec has none. It is settled when the container is made, so
// that everybody who asks finds one answer.
func (e *Engine) checkOf(ctx context.Context, spec Spec) (*Check, error) {
	switch {
	case spec.Check != nil && spec.Check.Type == pipeline.CheckNone:
		return nil, nil
	case spec.Check != nil:
		return spec.Check, nil
	}
	image, err := e.Images.Config(ctx, spec.Image)
	if err != nil {
		return nil, fmt.Errorf("reading the image: %w", err)
	}
	return CheckOf(image.Config.Healthcheck, image.Config.Shell), nil
}

// CheckOf reads a HEALTHCHECK as Docker means it; nil is none. shell is that of
// the image, which runs a command in shell form.
func CheckOf(h *dockerspec.HealthcheckConfig, shell []string) *Check {
	if h == nil || len(h.Test) < 2 {
		return nil // "NONE", or nothing
	}
	command := h.Test[1:]
	switch h.Test[0] {
	case "CMD":
	case "CMD-SHELL":
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		command = slices.Concat(shell, command)
	default:
		return nil // "NONE"; Docker passes over what it does not know, too
	}
	return &Check{
		Type: pipeline.CheckExec, Command: command,
		Interval:    pipeline.Duration(cmp.Or(max(h.Interval, 0), imageInterval)),
		Timeout:     pipeline.Duration(cmp.Or(max(h.Timeout, 0), imageTimeout)),
		StartPeriod: pipeline.Duration(max(h.StartPeriod, 0)),
		Retries:     cmp.Or(max(h.Retries, 0), imageRetries),
	}
}

// makeVolumes has the folders of the image's VOLUMEs exist: programs count on
// them, and an image need not have them in a layer. What is written there is part
// of the writable layer, unless something is mounted over it.
func makeVolumes(rootfs string, image dockerspec.DockerOCIImage) error {
	for _, folder := range VolumesOf(image) {
		handle, err := pathrs.OpenInRoot(rootfs, folder)
		if err == nil {
			_ = handle.Close() // it is there, be it a file
			continue
		}
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			return fmt.Errorf("looking for the image's volume %s: %w", folder, err)
		}
		if err := pathrs.MkdirAll(rootfs, folder, 0o755); err != nil {
			return fmt.Errorf("making the image's volume %s: %w", folder, err)
		}
	}
	return nil
}

// VolumesOf lists the folders of an image's VOLUMEs: absolute, sorted.
func VolumesOf(image dockerspec.DockerOCIImage) []string {
	var folders []string
	for folder := range maps.Keys(image.Config.Volumes) {
		if clean := path.Clean("/" + folder); clean != "/" {
			folders = append(folders, clean)
		}
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

// End asks a running container to end, as Stop does, for a reason that it keeps,
// and leaves it Wanted: its restart policy brings it back.
func (e *Engine) End(ctx context.Context, id, reason string) error {
	c, err := e.find(id)
	if err != nil {
		return err
	}
	c.set(func(v *Container) { v.ending = reason })
	err = e.stop(ctx, c, nil, true)
	if err != nil {
		c.set(func(v *Container) { v.ending = "" })
	}
	return err
}
