import time

from common.config import SettingsError, load_settings
from common.errors import ApiError
from requests_api_sample_client import callSecureAccessApi, secureAccessAPI


def main() -> None:
    settings = load_settings()
    api = secureAccessAPI(
        settings.token_url,
        settings.api_key,
        settings.api_secret,
        reports_url=settings.reports_url,
        org_id=settings.org_id,
    )
    now = int(time.time() * 1000)  # a fixed period, in milliseconds, so that the pages fit together
    period = f"from={now - 24 * 60 * 60 * 1000}&to={now}"
    for offset in (0, 5000, 10000):  # the API allows no higher offset
        page = callSecureAccessApi(api, f"activity?{period}&limit=5000&offset={offset}")["data"]
        print(len(page), "records from", offset)
        if len(page) < 5000:
            return
    print("There may be more: ask for a shorter period")


if __name__ == "__main__":
    try:
        main()
    except (SettingsError, ApiError) as error:
        raise SystemExit(str(error)) from error
