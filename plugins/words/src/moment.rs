//! Moments as publishers write them.

use time::format_description::well_known::Rfc2822;
use time::{Date, Month, OffsetDateTime, Time, UtcOffset};

/// `Sat, 09 Aug 2025 10:03:24 UTC`, as in mail and in Debian's files (RFC 2822, with a zone that this does not know), in seconds
/// since 1970.
pub fn of_mail(text: &str) -> Option<u64> {
    let text = text.trim();
    let known = text.strip_suffix("UTC").map_or_else(|| text.into(), |rest| format!("{rest}GMT"));
    let moment = OffsetDateTime::parse(&known, &Rfc2822).ok()?;
    u64::try_from(moment.unix_timestamp()).ok()
}

/// The end of a day that is written `2029-05-31`, in seconds since 1970.
pub fn end_of_day(text: &str) -> Option<u64> {
    let mut words = text.splitn(3, '-');
    let (year, month, day) = (words.next()?, words.next()?, words.next()?);
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    let date = Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
    let moment = OffsetDateTime::new_in_offset(date.next_day()?, Time::MIDNIGHT, UtcOffset::UTC);
    u64::try_from(moment.unix_timestamp()).ok()
}

/// Seconds since 1970 as `20250809T100324`, which grows with time.
pub fn serial(seconds: u64) -> Option<String> {
    let moment = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
    let ((year, month, day), (hour, minute, second)) = (moment.to_calendar_date(), moment.to_hms());
    Some(format!("{year:04}{:02}{day:02}T{hour:02}{minute:02}{second:02}", u8::from(month)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_mails_are_in_order() {
        let of = |text: &str| of_mail(text).and_then(serial);
        assert_eq!(of("Sat, 09 Aug 2025 10:03:24 UTC").unwrap(), "20250809T100324");
        assert_eq!(of("Sat, 09 Aug 2025 12:03:24 +0200").unwrap(), "20250809T100324");
        assert_eq!(of("Sat, 9 Aug 2025 10:03:24 GMT").unwrap(), "20250809T100324");
        for bad in [
            "",
            "x",
            "Sat, 09 Foo 2025 10:03:24 UTC",
            "Sat, 99 Aug 2025 10:03:24",
            "Sat, 09 Aug 2025 1:2",
            "UTC",
        ] {
            assert_eq!(of_mail(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_day_ends_at_its_end() {
        assert_eq!(end_of_day("1970-01-01"), Some(86_400));
        assert_eq!(end_of_day("2029-05-31"), Some(1_874_966_400));
        assert_eq!(end_of_day("2028-02-29"), Some(1_835_481_600));
        for bad in
            ["", "2029", "2029-13-01", "2027-02-29", "2029-05-32", "1960-01-01", "x-y-z", "99999-01-01"]
        {
            assert_eq!(end_of_day(bad), None, "{bad}");
        }
    }
}
