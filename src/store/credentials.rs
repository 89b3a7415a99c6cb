//! Whose credentials are used: those of the environment, or of a profile that is named there. An instance metadata service, which
//! gives whoever runs on a machine the rights of that machine, is asked only when the environment says so.

use super::profile;
use anyhow::{Result, ensure};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Aws};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use std::time::Duration;

/// Set to 1, it lets the instance metadata service be asked for credentials.
const INSTANCE: &str = "IORIOT_INSTANCE_CREDENTIALS";

fn instance() -> bool {
    std::env::var_os(INSTANCE).is_some_and(|value| value == "1")
}

/// A client of S3, without its bucket: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT`,
/// `AWS_ALLOW_HTTP`, `AWS_SKIP_SIGNATURE`, `AWS_PROFILE` and what else object_store reads.
///
/// # Errors
/// When there are no credentials.
pub(super) fn s3() -> Result<AmazonS3Builder> {
    let mut builder = AmazonS3Builder::from_env();
    let set = |builder: &AmazonS3Builder, key: Aws| builder.get_config_value(&key).is_some_and(|value| !value.is_empty());
    let web = set(&builder, Aws::WebIdentityTokenFile) && set(&builder, Aws::RoleArn);
    let unsigned = builder.get_config_value(&Aws::SkipSignature).is_some_and(|value| matches!(&*value, "true" | "1"));
    if !set(&builder, Aws::AccessKeyId)
        && let Some(name) = std::env::var_os("AWS_PROFILE").filter(|name| !name.is_empty())
    {
        let found = profile::read(&name.to_string_lossy())?;
        builder = builder.with_access_key_id(found.key).with_secret_access_key(found.secret);
        builder = found.token.into_iter().fold(builder, AmazonS3Builder::with_token);
        if !set(&builder, Aws::Region) {
            builder = found.region.into_iter().fold(builder, AmazonS3Builder::with_region);
        }
    }
    ensure!(
        set(&builder, Aws::AccessKeyId) || web || unsigned || instance(),
        "there are no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or AWS_SKIP_SIGNATURE=true \
         for a public bucket, or {INSTANCE}=1 to ask the metadata service of this machine"
    );
    // Its options, such as AWS_ALLOW_HTTP, are set one by one: with_client_options would drop those of the environment.
    let second = |time: Duration| format!("{} seconds", time.as_secs());
    let client = |key: &str| key.parse().map(Aws::Client);
    if let (Ok(connect), Ok(whole)) = (client("connect_timeout"), client("timeout")) {
        builder = builder.with_config(connect, second(Duration::from_secs(3)));
        // What takes long is ended by whoever waits for its bytes.
        builder = builder.with_config(whole, second(Duration::from_secs(3600)));
    }
    Ok(builder)
}

/// A client of Google Cloud Storage, without its bucket.
///
/// # Errors
/// When there are no credentials.
pub(super) fn google() -> Result<GoogleCloudStorageBuilder> {
    let builder = GoogleCloudStorageBuilder::from_env();
    let keys = [
        GoogleConfigKey::ServiceAccount,
        GoogleConfigKey::ServiceAccountKey,
        GoogleConfigKey::ApplicationCredentials,
        GoogleConfigKey::SkipSignature,
    ];
    ensure!(
        keys.iter().any(|key| builder.get_config_value(key).is_some_and(|value| !matches!(&*value, "" | "false"))) || instance(),
        "there are no credentials for Google Cloud Storage: set GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT, or \
         {INSTANCE}=1 to ask the metadata service of this machine"
    );
    Ok(builder)
}

/// A client of Azure Blob Storage, without its container.
///
/// # Errors
/// When there are no credentials.
pub(super) fn azure() -> Result<MicrosoftAzureBuilder> {
    let builder = MicrosoftAzureBuilder::from_env();
    let keys = [AzureConfigKey::AccessKey, AzureConfigKey::SasKey, AzureConfigKey::ClientSecret, AzureConfigKey::SkipSignature];
    ensure!(
        keys.iter().any(|key| builder.get_config_value(key).is_some_and(|value| !matches!(&*value, "" | "false"))) || instance(),
        "there are no credentials for Azure: set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or {INSTANCE}=1 to ask \
         the metadata service of this machine"
    );
    Ok(builder)
}
