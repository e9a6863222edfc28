package ocilayout

import (
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/image"
)

// Put implements image.Store.
func (s *Store) Put(ctx context.Context, spec image.Spec) (image.Image, error) {
	if err := spec.Validate(); err != nil {
		return image.Image{}, err
	}
	spec.Created = spec.Created.UTC().Truncate(time.Second)
	if spec.Platform == "" {
		spec.Platform = runtime.GOOS + "/" + runtime.GOARCH
	}
	files, err := selectFiles(ctx, spec, s.limits)
	if err != nil {
		return image.Image{}, err
	}
	layer, err := s.newIncoming()
	if err != nil {
		return image.Image{}, failed("image.put", err)
	}
	defer layer.drop()
	if err := pack(ctx, layer, spec.Dir, files, spec.Created); err != nil {
		return image.Image{}, err
	}
	layerDesc := layer.descriptor()
	layerDesc.MediaType = types.OCIUncompressedLayer
	config, configDesc, err := s.writeJSON(configFile(spec, layerDesc.Digest), types.OCIConfigJSON)
	if err != nil {
		return image.Image{}, err
	}
	defer config.drop()
	m := manifest(spec, configDesc, layerDesc)
	top, topDesc, err := s.writeJSON(m, types.OCIManifestSchema1)
	if err != nil {
		return image.Image{}, err
	}
	defer top.drop()
	if err := s.publish(topDesc, tag(spec), layer, config, top); err != nil {
		return image.Image{}, err
	}
	return s.Get(ctx, topDesc.Digest.String())
}

// publish makes content permanent and then the image exist.
func (s *Store) publish(d v1.Descriptor, tag string, content ...*incoming) error {
	for _, in := range content {
		if err := in.sync(); err != nil {
			return failed("image.put", err)
		}
	}
	return s.locked(func() error {
		index, err := s.readIndex()
		if err != nil {
			return err
		}
		for _, in := range content {
			if err := in.keep(s); err != nil {
				return failed("image.put", err)
			}
		}
		if err := syncDir(filepath.Join(s.dir, "blobs/sha256")); err != nil {
			return failed("image.put", err)
		}
		if indexOf(index, d.Digest.String()) >= 0 {
			return nil
		}
		// A tag names one image: the latest of that commit.
		for i := range index.Manifests {
			if index.Manifests[i].Annotations[annotationRefName] == tag {
				delete(index.Manifests[i].Annotations, annotationRefName)
			}
		}
		d.Annotations = map[string]string{annotationRefName: tag}
		index.Manifests = append(index.Manifests, d)
		return s.writeIndex(index)
	})
}

// tag is a name for other tools, such as checkout:3f2a91c04d55.
func tag(spec image.Spec) string {
	return spec.Name + ":" + spec.Commit[:min(12, len(spec.Commit))]
}

func (s *Store) writeJSON(v any, media types.MediaType) (*incoming, v1.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, v1.Descriptor{}, problem.New(problem.Internal, "image.put", "%w", err)
	}
	in, err := s.write(data)
	if err != nil {
		return nil, v1.Descriptor{}, failed("image.put", err)
	}
	d := in.descriptor()
	d.MediaType = media
	return in, d, nil
}

func configFile(spec image.Spec, diffID v1.Hash) *v1.ConfigFile {
	os, arch, _ := strings.Cut(spec.Platform, "/")
	created := v1.Time{Time: spec.Created}
	env := make([]string, 0, len(spec.Env))
	for _, k := range slices.Sorted(maps.Keys(spec.Env)) {
		env = append(env, k+"="+spec.Env[k])
	}
	labels := maps.Clone(spec.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, annotations(spec))
	return &v1.ConfigFile{
		Architecture: arch,
		OS:           os,
		Created:      created,
		Config:       v1.Config{Cmd: spec.Command, Env: env, Labels: labels, WorkingDir: "/"},
		RootFS:       v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{diffID}},
		History:      []v1.History{{Created: created, CreatedBy: "flyball", Comment: "files of commit " + spec.Commit}},
	}
}

func manifest(spec image.Spec, config, layer v1.Descriptor) *v1.Manifest {
	return &v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		Config:        config,
		Layers:        []v1.Descriptor{layer},
		Annotations:   annotations(spec),
	}
}

func annotations(spec image.Spec) map[string]string {
	a := map[string]string{
		annotationTitle:    spec.Name,
		annotationRevision: spec.Commit,
		annotationCreated:  spec.Created.Format(time.RFC3339),
	}
	if spec.Source != "" {
		a[annotationSource] = spec.Source
	}
	return a
}
