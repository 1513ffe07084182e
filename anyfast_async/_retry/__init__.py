"""What happens once an attempt has failed: retries, outages, refused rows."""
