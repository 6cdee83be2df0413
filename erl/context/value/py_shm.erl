%% SPDX-License-Identifier: Apache-2.0
%% @doc Shared memory: a large binary or array that any number of contexts see
%% without a copy.
%%
%% A segment is filled once and sealed (memfd_create(2), F_SEAL_WRITE in
%% fcntl(2)): nobody can change it, whoever has it.  Its term is passed like any
%% argument, alone or inside other terms, and arrives in Python as a read-only
%% `memoryview' of type and shape.  It is freed with its last holder: a term in
%% Erlang, a binary made of it, an object in Python, also of a context that died.
-module(py_shm).

-export([new/1, new/2, is_shm/1, size/1, info/1, to_binary/1, live/0]).
-export([services/0, nif/1]).

-export_type([t/0, options/0]).

%% As c_src/helper/segment.c has it.
-define(MAX_TERM, 4096).
-define(SMALL_TUPLE, 104).

-record(py_shm, {handle :: reference(), secret :: py_shm_nif:secret(),
                 size :: non_neg_integer(), format :: binary(),
                 shape :: [non_neg_integer()]}).

-opaque t() :: #py_shm{}.
%% A segment of shared memory of this node.

-type options() :: #{format => binary() | string(), shape => [non_neg_integer()]}.
%% What an element is, as Python's `struct' has it: one letter of `cbB?hHiIlLqQnNefd',
%% `Zf' or `Zd' (complex, which numpy knows), with `@', `=', `<', `>' or `!' before
%% it or not (without: the machine's own).  The default is `B', a byte.  And how many
%% there are in each dimension, the last one lying closest together; the default is
%% one dimension.

%% @doc A segment with a copy of these bytes.
-spec new(iodata()) -> {ok, t()} | {error, {invalid, atom(), term()} | file:posix()}.
new(Data) ->
    new(Data, #{}).

%% @doc The same; the bytes are elements of this format in this shape.
-spec new(iodata(), options()) -> {ok, t()} | {error, {invalid, atom(), term()} | file:posix()}.
new(Data, Options) when is_map(Options) ->
    try {iolist_to_binary(Data), py_shm_layout:check(Options)} of
        {Bytes, {ok, Format, Shape}} -> shaped(Bytes, Format, Shape);
        {_, {error, _} = Error} -> Error
    catch
        error:badarg -> {error, {invalid, data, Data}}
    end;
new(_, Options) ->
    {error, {invalid, options, Options}}.

shaped(Bytes, Format, Shape0) ->
    Size = byte_size(Bytes),
    case py_shm_layout:shape(Size, Format, Shape0) of
        {ok, Shape} -> made(py_shm_nif:new(Bytes), Size, Format, Shape);
        {error, _} = Error -> Error
    end.

made({ok, Handle, Secret}, Size, Format, Shape) ->
    {ok, #py_shm{handle = Handle, secret = Secret, size = Size, format = Format,
                 shape = Shape}};
made({error, _} = Error, _, _, _) ->
    Error.

%% @doc Is it a segment?
-spec is_shm(term()) -> boolean().
is_shm(#py_shm{handle = Handle, secret = <<_:128>>, size = Size})
  when is_reference(Handle), is_integer(Size) ->
    true;
is_shm(_) ->
    false.

%% @doc Its bytes.
-spec size(t()) -> non_neg_integer().
size(#py_shm{size = Size}) -> Size.

%% @doc Its bytes, the format of an element, and the shape.
-spec info(t()) -> #{size := non_neg_integer(), format := binary(),
                     shape := [non_neg_integer()]}.
info(#py_shm{size = Size, format = Format, shape = Shape}) ->
    #{size => Size, format => Format, shape => Shape}.

%% @doc What is in it, without a copy: the binary holds the segment.  `gone' where
%% it is none of this node, or nobody held it for too long.
-spec to_binary(t()) -> {ok, binary()} | {error, gone | {invalid, shm, term()} | file:posix()}.
to_binary(#py_shm{handle = Handle, secret = Secret, size = Size} = Shm) ->
    try py_shm_nif:binary(Handle, Secret) of
        {ok, Binary} when byte_size(Binary) =:= Size -> {ok, Binary};
        {ok, _} -> {error, {invalid, shm, Shm}};
        {error, _} = Error -> Error
    catch
        error:badarg -> {error, {invalid, shm, Shm}}
    end;
to_binary(Other) ->
    {error, {invalid, shm, Other}}.

%% @doc How many segments this node holds, and their bytes.
-spec live() -> #{segments := non_neg_integer(), bytes := non_neg_integer()}.
live() ->
    {Segments, Bytes} = py_shm_nif:live(),
    #{segments => Segments, bytes => Bytes}.

%% @private What the NIF calls it.
-spec nif(t()) -> {reference(), py_shm_nif:secret()}.
nif(#py_shm{handle = Handle, secret = Secret}) ->
    {Handle, Secret}.

%%% Python's side (c_src/helper/segment_open.c)

%% @private
-spec services() -> [{py_registry:function_key(), fun(([term()]) -> term())}].
services() ->
    [{{<<"shm">>, <<"open">>}, fun open/1},
     {{<<"shm">>, <<"create">>}, fun create/1},
     {{<<"shm">>, <<"seal">>}, fun seal/1}].

%% Hand over a segment that Python was given.  It names it by the bytes of its
%% term, which may be anything: so the kind and the length are looked at first.
open([Token, <<?SMALL_TUPLE, 6, _/binary>> = Bytes])
  when is_integer(Token), byte_size(Bytes) =< ?MAX_TERM ->
    try binary_to_term(<<131, Bytes/binary>>, [safe]) of
        #py_shm{handle = Handle, secret = <<_:128>>} = Shm when is_reference(Handle) ->
            open(Token, Shm);
        _ ->
            failed(<<"no term of a segment">>)
    catch
        error:badarg -> failed(<<"no term of a segment">>)
    end;
open(_) ->
    failed(<<"no term of a segment">>).

open(Token, #py_shm{handle = Handle, secret = Secret} = Shm) ->
    case py_shm_nif:fd(Handle, Secret) of
        {ok, Fd} -> hand_over(Token, Shm, Fd);
        {error, gone} -> failed(where(Handle))
    end.

where(Handle) when node(Handle) =/= node() ->
    [<<"the segment is one of node ">>, atom_to_binary(node(Handle))];
where(_) ->
    <<"the segment is gone: nobody held it">>.

hand_over(Token, Shm, Fd) ->
    Port = py_callback:port(),
    case py_courier:hold(Port, Token, Shm) of
        ok -> passed(py_port:pass(Port, Token, Fd));
        full -> failed(<<"the context holds too many segments">>);
        gone -> failed(<<"the context is being ended">>)
    end.

passed(ok) -> ok;
passed(busy) -> failed(<<"too many descriptors are on their way">>);
passed({error, Why}) -> failed(Why).

failed(Why) ->
    {error, iolist_to_binary(Why)}.

%% A blank one, for Python to fill.
create([Token, Size, Format, Shape]) when is_integer(Token), is_integer(Size), Size >= 0 ->
    case made(py_shm_nif:blank(Size), Size, Format, Shape) of
        {ok, Shm} -> created(Token, Shm);
        {error, Posix} -> failed(file:format_error(Posix))
    end.

created(Token, #py_shm{handle = Handle, secret = Secret} = Shm) ->
    {ok, Fd} = py_shm_nif:fd(Handle, Secret),
    case hand_over(Token, Shm, Fd) of
        ok ->
            {ok, {bytes, term_to_binary(Shm)}};
        Error ->
            Error
    end.

seal([Token]) ->
    case py_courier:held(py_callback:port(), Token) of
        {ok, #py_shm{handle = Handle, secret = Secret}} ->
            case py_shm_nif:seal(Handle, Secret) of
                ok -> ok;
                {error, Why} -> failed(atom_to_binary(Why))
            end;
        none ->
            failed(<<"there is no such segment">>)
    end.
