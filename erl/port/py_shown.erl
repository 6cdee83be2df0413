%% SPDX-License-Identifier: Apache-2.0
%% @doc Text that Python chose, where this library itself shows it: in the log, and on
%% a terminal.  Characters that command a terminal, or that change the order in which
%% others are shown, appear as what they are (`\x{1B}').  What callers asked for, such as
%% captured output or the message of an exception, is never changed.
-module(py_shown).

-export([text/1, text/2]).

%% @doc This text as it may be shown.  A binary that is no UTF-8 is taken for Latin-1.
-spec text(unicode:chardata() | binary()) -> binary().
text(Text) ->
    Characters = characters(Text),
    case is_plain(Characters) of
        true -> Characters;
        false -> << <<(shown(C))/binary>> || <<C/utf8>> <= Characters >>
    end.

%% @doc The same, and no more than so many characters of it.
-spec text(unicode:chardata() | binary(), pos_integer()) -> binary().
text(Text, Max) ->
    Characters = characters(Text),
    case beginning(Characters, Max, 0) of
        all -> text(Characters);
        Size -> <<(text(binary:part(Characters, 0, Size)))/binary, "...">>
    end.

%% The size of so many.  What is seen as one (string:slice/3) could be any number of them.
beginning(Characters, Left, At) ->
    case Characters of
        <<_:At/binary>> -> all;
        _ when Left =:= 0 -> At;
        <<_:At/binary, C/utf8, _/binary>> -> beginning(Characters, Left - 1, At + width(C))
    end.

width(C) when C < 16#80 -> 1;
width(C) when C < 16#800 -> 2;
width(C) when C < 16#10000 -> 3;
width(_) -> 4.

characters(Text) ->
    case unicode:characters_to_binary(Text) of
        Characters when is_binary(Characters) -> Characters;
        _ when is_binary(Text) -> unicode:characters_to_binary(Text, latin1);
        {_, Good, _} -> Good
    end.

is_plain(<<C/utf8, Rest/binary>>) -> not is_command(C) andalso is_plain(Rest);
is_plain(<<>>) -> true.

shown(C) ->
    case is_command(C) of
        true -> <<"\\x{", (integer_to_binary(C, 16))/binary, "}">>;
        false -> <<C/utf8>>
    end.

is_command(C) when C =:= $\n; C =:= $\t -> false;
is_command(C) when C < 32; C >= 127, C < 160 -> true;
is_command(C) when C < 16#61c -> false;
is_command(C) when C =:= 16#61c; C =:= 16#200e; C =:= 16#200f; C =:= 16#feff -> true;
is_command(C) -> C >= 16#2028 andalso C =< 16#202e orelse C >= 16#2066 andalso C =< 16#2069.
