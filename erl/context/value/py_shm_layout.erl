%% SPDX-License-Identifier: Apache-2.0
%% @doc What the bytes of a segment are: the format of an element, as Python's
%% `struct' has it, and how many there are in each dimension.
-module(py_shm_layout).

-export([check/1, shape/3]).

%% As Python's own limit of dimensions for a buffer is 64, and ours is that of
%% c_src/helper/segment.h.
-define(MAX_DIMS, 32).

%% @doc The options, where each is possible by itself.
-spec check(map()) ->
    {ok, binary(), [non_neg_integer()] | default} | {error, {invalid, atom(), term()}}.
check(Options) ->
    Unknown = maps:keys(maps:without([format, shape], Options)),
    Format = format(maps:get(format, Options, <<"B">>)),
    Shape = maps:get(shape, Options, default),
    case {Unknown, Format, is_shape(Shape)} of
        {[Key | _], _, _} -> {error, {invalid, Key, maps:get(Key, Options)}};
        {_, error, _} -> {error, {invalid, format, maps:get(format, Options)}};
        {_, _, false} -> {error, {invalid, shape, Shape}};
        {_, Text, true} -> {ok, Text, Shape}
    end.

format(Text) when is_binary(Text); is_list(Text) ->
    try iolist_to_binary(Text) of
        Format ->
            case item_size(Format) of
                error -> error;
                _ -> Format
            end
    catch
        error:badarg -> error
    end;
format(_) ->
    error.

is_shape(default) ->
    true;
is_shape(Shape) when length(Shape) =< ?MAX_DIMS ->
    lists:all(fun(N) -> is_integer(N) andalso N >= 0 end, Shape);
is_shape(_) ->
    false.

%% @doc The shape of so many bytes; that they do not fit it is said.
-spec shape(non_neg_integer(), binary(), [non_neg_integer()] | default) ->
    {ok, [non_neg_integer()]} | {error, {invalid, atom(), term()}}.
shape(Size, Format, default) ->
    case Size rem item_size(Format) of
        0 -> {ok, [Size div item_size(Format)]};
        _ -> {error, {invalid, format, Format}}
    end;
shape(Size, Format, Shape) ->
    case lists:foldl(fun erlang:'*'/2, item_size(Format), Shape) of
        Size -> {ok, Shape};
        _ -> {error, {invalid, shape, Shape}}
    end.

%% With `=', `<', `>' and `!' sizes are the standard ones, else the machine's.
item_size(<<C, Rest/binary>>) when C =:= $=; C =:= $<; C =:= $>; C =:= $! ->
    size(Rest, standard);
item_size(<<$@, Rest/binary>>) ->
    size(Rest, native);
item_size(Format) ->
    size(Format, native).

size(<<C>>, _) when C =:= $c; C =:= $b; C =:= $B; C =:= $? -> 1;
size(<<C>>, _) when C =:= $h; C =:= $H; C =:= $e -> 2;
size(<<C>>, _) when C =:= $i; C =:= $I; C =:= $f -> 4;
size(<<C>>, _) when C =:= $q; C =:= $Q; C =:= $d -> 8;
size(<<C>>, standard) when C =:= $l; C =:= $L -> 4;
size(<<C>>, native) when C =:= $l; C =:= $L; C =:= $n; C =:= $N ->
    erlang:system_info(wordsize);
size(<<"Zf">>, _) -> 8;
size(<<"Zd">>, _) -> 16;
size(_, _) -> error.
