package main

// generate makes all files.
func generate() ([]file, error) {
	var files []file
	for _, make := range []func() (file, error){
		tokens, genesisDocuments, grants, revocations, requests, aads, shares, statements, stateCertificates, walletCertificates,
		leaves, batches, receipts, checkpoints, frames, attestationArchives,
	} {
		f, err := make()
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}
