// Package ocilayout keeps images in a directory in the OCI image layout
// (image-spec 1.1): port/image's adapter for one machine. No daemon is needed,
// and other tools that know the layout (skopeo, crane, oras) can read it.
//
//	oci-layout               version of the layout
//	index.json               the images; its atomic replacement is what makes one exist
//	blobs/sha256/HEX         manifests, configurations and layers
//	lock                     held for changes of the index, by file lock
//	incoming/                content being written, each file locked by its writer
//
// Images are reproducible. A layer is a plain tar (no compression, whose output
// differs between versions of a library) with sorted names, one owner, two file
// modes and the commit's time; configuration and manifest hold nothing that the
// Spec does not.
//
// Writers need no daemon between them either: content is written aside, synced
// and renamed to its digest, then the index is replaced under the lock. A crash
// leaves at worst content without an image, which Collect deletes. Content is
// checked against its digest whenever it is read.
//
//	store.go    the directory, Get, List, Remove, Collect
//	put.go      Put: select, pack, describe
//	pack.go     the deterministic tar
//	unpack.go   Unpack: verify, extract safely
//	blob.go     content files and locks
package ocilayout
