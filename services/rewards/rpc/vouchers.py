"""VoucherService: one use case a call."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from loyalty.rewards.v1 import vouchers_pb2, vouchers_pb2_grpc

from services.plumbing.auth import current_caller
from services.plumbing.database_work import DatabaseWork
from services.plumbing.pages import page_size
from services.rewards.domain.uploads import Chunk
from services.rewards.rpc.names import read_member, read_owned, read_pool
from services.rewards.rpc.owning import require_owner
from services.rewards.rpc.places import page_after, read_place
from services.rewards.rpc.voucher_messages import (
    asked,
    read_use,
    voucher_message,
)
from services.rewards.signing import ALGORITHM, Signer
from services.rewards.usecases import uploads, vouchers

PAGE_SIZE = 50
PAGE_SIZE_MAX = 500


class Vouchers(vouchers_pb2_grpc.VoucherServiceServicer):
    """Thin: reads the request, does one use case on a database thread, writes the answer."""

    def __init__(
        self,
        work: DatabaseWork,
        clock: Callable[[], datetime],
        signer: Signer,
        *,
        undone_within: timedelta,
    ) -> None:
        """undone_within is for how long a till may take the use of a voucher back."""
        self._undone_within = undone_within
        self._work = work
        self._clock = clock
        self._signer = signer

    async def GetVoucher(
        self, request: vouchers_pb2.GetVoucherRequest, _context: object
    ) -> vouchers_pb2.GetVoucherResponse:
        await require_owner(self._work, request.name)
        found = await self._work.run(vouchers.get_voucher, *read_owned(request.name))
        return vouchers_pb2.GetVoucherResponse(
            voucher=voucher_message(found, self._clock(), self._signer)
        )

    async def ListVouchers(
        self, request: vouchers_pb2.ListVouchersRequest, _context: object
    ) -> vouchers_pb2.ListVouchersResponse:
        current_caller().require_own(request.parent)
        size = page_size(request.page_size, default=PAGE_SIZE, most=PAGE_SIZE_MAX)
        now = self._clock()
        # One more than the page, to know whether there is another.
        found = await self._work.run(
            vouchers.list_vouchers,
            read_member(request.parent),
            before=read_place(request.page_token),
            usable_at=now if request.usable_only else None,
            limit=size + 1,
        )
        last = found[size - 1] if len(found) > size else None
        return vouchers_pb2.ListVouchersResponse(
            vouchers=[voucher_message(voucher, now, self._signer) for voucher in found[:size]],
            next_page_token=page_after(last.issue_time, last.id) if last is not None else "",
        )

    async def RedeemVoucher(
        self, request: vouchers_pb2.RedeemVoucherRequest, _context: object
    ) -> vouchers_pb2.RedeemVoucherResponse:
        current_caller().require_store(request.store)
        now = self._clock()
        used, amount = await self._work.run(
            vouchers.redeem_voucher,
            request.code,
            read_use(request, now),
            request_id=UUID(request.request_id),
            asked=asked(request),
            now=now,
        )
        return vouchers_pb2.RedeemVoucherResponse(
            voucher=voucher_message(used, now, None), amount_minor=amount
        )

    async def UndoVoucherRedemption(
        self, request: vouchers_pb2.UndoVoucherRedemptionRequest, _context: object
    ) -> vouchers_pb2.UndoVoucherRedemptionResponse:
        current_caller().require_store(request.store)
        now = self._clock()
        undone, amount = await self._work.run(
            vouchers.undo_redemption,
            UUID(request.redeem_request_id),
            store=request.store,
            receipt_number=request.receipt_number,
            within=self._undone_within,
            now=now,
        )
        return vouchers_pb2.UndoVoucherRedemptionResponse(
            voucher=voucher_message(undone, now, None), amount_minor=amount
        )

    async def RevokeVoucher(
        self, request: vouchers_pb2.RevokeVoucherRequest, _context: object
    ) -> vouchers_pb2.RevokeVoucherResponse:
        now = self._clock()
        member_id, voucher_id = read_owned(request.name)
        revoked = await self._work.run(
            vouchers.revoke_voucher, member_id, voucher_id, reason=request.reason, now=now
        )
        return vouchers_pb2.RevokeVoucherResponse(voucher=voucher_message(revoked, now, None))

    async def UploadCodes(
        self, request: vouchers_pb2.UploadCodesRequest, _context: object
    ) -> vouchers_pb2.UploadCodesResponse:
        chunk = Chunk(
            pool=read_pool(request.pool),
            upload_id=UUID(request.upload_id),
            first_line=request.first_line,
            codes=tuple(request.codes),
        )
        outcome = await self._work.run(uploads.upload_codes, chunk, now=self._clock())
        return vouchers_pb2.UploadCodesResponse(
            loaded=outcome.loaded,
            duplicates=outcome.duplicates,
            bad=outcome.bad,
            duplicate_lines=outcome.duplicate_lines,
            bad_lines=outcome.bad_lines,
        )

    async def GetCodePool(
        self, request: vouchers_pb2.GetCodePoolRequest, _context: object
    ) -> vouchers_pb2.GetCodePoolResponse:
        found = await self._work.run(uploads.get_pool, read_pool(request.name))
        return vouchers_pb2.GetCodePoolResponse(
            pool=vouchers_pb2.CodePool(
                name=request.name, codes=found.codes, codes_left=found.codes_left
            )
        )

    async def GetSigningKeys(
        self, _request: vouchers_pb2.GetSigningKeysRequest, _context: object
    ) -> vouchers_pb2.GetSigningKeysResponse:
        return vouchers_pb2.GetSigningKeysResponse(
            keys=[
                vouchers_pb2.SigningKey(
                    key_id=key.key_id, algorithm=ALGORITHM, public_key=key.public_bytes
                )
                for key in self._signer.keys
            ]
        )
