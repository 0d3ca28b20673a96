package engineapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"
	"time"

	netapi "github.com/moby/moby/api/types/network"
	volapi "github.com/moby/moby/api/types/volume"

	"dray/targets/network"
	"dray/targets/volume"
)

// networkID is a network's id: the SHA-256 of its name, since nothing else
// names it.
func networkID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// networkList is GET /networks.
func (a *API) networkList(w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilters(r.FormValue("filters"), "name", "id", "driver", "scope", "type", "label", "dangling")
	if err != nil {
		return err
	}
	list := []netapi.Summary{}
	for _, n := range a.Networks.List() {
		if f.any("name", func(v string) bool { return strings.Contains(n.Name, v) }) &&
			f.any("id", func(v string) bool { return strings.HasPrefix(networkID(n.Name), v) }) &&
			f.is("driver", "bridge") && f.is("scope", "local") && f.is("type", "custom") && len(f["label"]) == 0 {
			list = append(list, netapi.Summary{Network: describe(n)})
		}
	}
	return ok(w, list)
}

func describe(n network.Info) netapi.Network {
	return netapi.Network{
		Name: n.Name, ID: networkID(n.Name), Created: time.Unix(0, 0).UTC(), Scope: "local", Driver: "bridge", EnableIPv4: true,
		IPAM:    netapi.IPAM{Driver: "default", Options: map[string]string{}, Config: []netapi.IPAMConfig{{Subnet: n.Subnet, Gateway: n.Gateway}}},
		Options: map[string]string{"com.docker.network.bridge.name": n.Bridge}, Labels: map[string]string{},
	}
}

// networkInspect is GET /networks/{id}.
func (a *API) networkInspect(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	for _, n := range a.Networks.List() {
		if n.Name != id && (len(id) < 4 || !strings.HasPrefix(networkID(n.Name), id)) {
			continue
		}
		answer := netapi.Inspect{Network: describe(n), Containers: map[string]netapi.EndpointResource{}}
		for containerID, address := range n.Containers {
			e := netapi.EndpointResource{EndpointID: containerID, IPv4Address: netip.PrefixFrom(address, n.Subnet.Bits())}
			if c, err := a.Engine.Get(containerID); err == nil {
				e.Name = c.Spec.Name
			}
			answer.Containers[containerID] = e
		}
		return ok(w, answer)
	}
	return fault(http.StatusNotFound, "network %s not found", id)
}

// volumeName is a volume's name here, where Docker knows one level only.
func volumeName(v volume.Volume) string { return v.Network + "/" + v.Name }

// volumeList is GET /volumes.
func (a *API) volumeList(w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilters(r.FormValue("filters"), "name", "driver", "label", "dangling")
	if err != nil {
		return err
	}
	all, err := a.Volumes.All()
	if err != nil {
		return err
	}
	answer := volapi.ListResponse{Volumes: []volapi.Volume{}, Warnings: []string{}}
	for _, v := range all {
		if f.any("name", func(s string) bool { return strings.Contains(volumeName(v), s) }) && f.is("driver", "local") && f.labels(nil) {
			answer.Volumes = append(answer.Volumes, describeVolume(v))
		}
	}
	return ok(w, answer)
}

func describeVolume(v volume.Volume) volapi.Volume {
	return volapi.Volume{
		Name: volumeName(v), Driver: "local", Mountpoint: v.Path, Scope: "local", CreatedAt: v.Created.UTC().Format(time.RFC3339),
		Labels: map[string]string{}, Options: map[string]string{},
	}
}

func (a *API) findVolume(name string) (volume.Volume, error) {
	all, err := a.Volumes.All()
	if err != nil {
		return volume.Volume{}, err
	}
	for _, v := range all {
		if volumeName(v) == name {
			return v, nil
		}
	}
	return volume.Volume{}, fault(http.StatusNotFound, "get %s: no such volume", name)
}

// volumeInspect is GET /volumes/{name}.
func (a *API) volumeInspect(w http.ResponseWriter, r *http.Request) error {
	v, err := a.findVolume(r.PathValue("name"))
	if err != nil {
		return err
	}
	return ok(w, describeVolume(v))
}

// volumeRemove is DELETE /volumes/{name}.
func (a *API) volumeRemove(w http.ResponseWriter, r *http.Request) error {
	v, err := a.findVolume(r.PathValue("name"))
	if err != nil {
		return err
	}
	return a.done(w, a.Volumes.Remove(context.WithoutCancel(r.Context()), v.Network, v.Name))
}

func isNamed(name string) func(network.Info) bool {
	return func(n network.Info) bool { return n.Name == name }
}
