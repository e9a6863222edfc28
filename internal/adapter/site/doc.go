// Package site publishes static pages: to a directory on this machine, and by
// HTTP PUT to WebDAV servers and object stores. It is port/site's adapter;
// branches of git repositories are adapter/git's.
//
// A directory changes at once: the new tree is written beside it, and the two
// exchange their names (Linux, renameat2). Where that is not possible, as when
// the directory is a mount point, files are replaced one after another, each
// whole, the entrance last. A directory that holds anything else is left alone;
// the file .flyball-site says that it is ours.
//
// By HTTP PUT each file is written where it belongs, the entrance last. Requests
// carry a bearer token, or an AWS Signature Version 4 as S3 and those compatible
// with it expect; the object store's own SDK would be two hundred packages for
// one verb, so only its signer is used. What a site no longer has stays there.
package site
