"""What a refusal or a failure means, whoever wrote it and in whatever shape."""
